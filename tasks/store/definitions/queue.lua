-- The queue of each kind, in which the runs of named owners take turns.

local function queue_score(prio, at) return prio == 'high' and at or at + HIGH_FIRST end

-- Where a queued run stands among those of its owner.
local function own_score(run_id)
  return queue_score(task_field(task_of(run_id), 'prio'), tonumber(run_field(run_id, 'queued')))
end

-- Forgets that runs of a kind were held back, where there are none any more.
local function tidy_held(owner, kind)
  if redis.call('EXISTS', held_key(owner, kind)) == 1 then return end
  redis.call('SREM', held_kinds_key(owner), kind)
  if redis.call('EXISTS', held_kinds_key(owner)) == 0 then redis.call('SREM', HELD, owner) end
end

-- Puts a run among those that wait behind another of their owner.
local function hold_back(run_id, owner, kind, score)
  redis.call('ZADD', held_key(owner, kind), score, run_id)
  redis.call('SADD', held_kinds_key(owner), kind)
  redis.call('SADD', HELD, owner)
end

-- The run with which a named owner waits for his turn, and where it stands in the queue; nothing where he has none there.
local function turn_of(owner, kind)
  local run_id = redis.call('GET', next_key(owner, kind))
  local score = run_id and redis.call('ZSCORE', queued_key(kind), run_id)
  if score then return run_id, score end
end

-- The place behind all that wait; a score at least so much apart is another one (2^-3, where there are 50 bits before it).
local function last_place(kind, at)
  local last = redis.call('ZREVRANGE', queued_key(kind), 0, 0, 'WITHSCORES')
  return math.max(queue_score('normal', at), tonumber(last[2] or 0) + 0.125)
end

local function take_turn(run_id, owner, kind, score)
  redis.call('ZADD', queued_key(kind), score, run_id)
  redis.call('SET', next_key(owner, kind), run_id)
end

-- Takes a run out of the queue, or from among those that are held back; whether it was in the queue.
local function leave_queue(run_id, owner, kind)
  if redis.call('ZREM', queued_key(kind), run_id) == 1 then
    if owner ~= NOBODY and redis.call('GET', next_key(owner, kind)) == run_id then
      redis.call('DEL', next_key(owner, kind))
    end
    return true
  end
  if redis.call('ZREM', held_key(owner, kind), run_id) == 1 then tidy_held(owner, kind) end
  return false
end

-- Takes a run out of the queue while its owner has as many going as he may, so that nobody has to look past it.
local function hold(run_id, owner, kind)
  if redis.call('ZSCORE', queued_key(kind), run_id) then
    leave_queue(run_id, owner, kind)
    hold_back(run_id, owner, kind, own_score(run_id))
  end
end

-- Puts the first run of a kind that is held back for an owner into the queue: for a named one behind what others have
-- there by now, and only where he has none there; for the only one there is, to its old place.
local function let_in_one(owner, kind)
  if owner ~= NOBODY and turn_of(owner, kind) then return end
  local first = redis.call('ZPOPMIN', held_key(owner, kind))
  if first[1] and owner == NOBODY then redis.call('ZADD', queued_key(kind), first[2], first[1])
  elseif first[1] then take_turn(first[1], owner, kind, last_place(kind, now_ms())) end
  tidy_held(owner, kind)
end

local function let_in(owner)
  for _, kind in ipairs(redis.call('SMEMBERS', held_kinds_key(owner))) do let_in_one(owner, kind) end
end

-- A worker has a run no more: another one of the same owner may go.
local function free_place(owner, run_id)
  if redis.call('SREM', running_key(owner), run_id) == 1 then let_in(owner) end
end

-- Puts a run, whose time of being queued is noted, into the queue. Of a named owner there is one of each kind: the others
-- wait behind it, so that nobody waits for more than one run of every other. One of high priority goes before his own.
local function enqueue(run_id, owner, kind, prio, at)
  local score = queue_score(prio, at)
  if owner == NOBODY then
    redis.call('ZADD', queued_key(kind), score, run_id)
    return
  end
  local waiting, place = turn_of(owner, kind)
  local his = waiting and own_score(waiting)
  if waiting and score < his then
    redis.call('ZREM', queued_key(kind), waiting)
    hold_back(waiting, owner, kind, his)
    take_turn(run_id, owner, kind, place)
  elseif waiting or redis.call('EXISTS', held_key(owner, kind)) == 1 then
    hold_back(run_id, owner, kind, score)
    let_in_one(owner, kind)
  else
    take_turn(run_id, owner, kind, last_place(kind, at))
  end
end

local function queue_run(run_id, at)
  local kind, prio, owner = unpack(redis.call('HMGET', task_key(task_of(run_id)), 'kind', 'prio', 'owner'))
  redis.call('HSET', run_key(run_id), 'queued', number_text(at))
  enqueue(run_id, owner or NOBODY, kind, prio, at)
end
