-- Groups of tasks, what is counted, and how a task moves from one status to another.

-- Keys of the groups of tasks of these kinds that have the status and the type, '' for any, and are not empty; and how
-- many tasks they have together. A script reads `kinds` once.
local function groups(kinds, status, kind_of_task)
  local found, total = {}, 0
  for _, one in ipairs(status == '' and STATUSES or { status }) do
    for _, type_ in ipairs(kind_of_task == '' and TYPES or { kind_of_task }) do
      for _, kind in ipairs(kinds) do
        local key = group_key(one, type_, kind)
        local size = redis.call('ZCARD', key)
        if size > 0 then found[#found + 1] = key end
        total = total + size
      end
    end
  end
  return found, total
end

-- Counts what happened, for good and for the minute.
local function count(counter, in_minute, at, by)
  local minute = minute_key(math.floor(at / 60000))
  redis.call('HINCRBY', COUNTERS, counter, by)
  if redis.call('HINCRBY', minute, in_minute, by) == by then redis.call('EXPIRE', minute, COUNTED_SECONDS) end
end

-- Counts a span of time in its bucket and in the sum.
local function count_span(what, kind, ms)
  ms = math.max(0, ms)
  local bucket = 1
  while BUCKETS[bucket] and ms > BUCKETS[bucket] do bucket = bucket + 1 end
  redis.call('HINCRBY', COUNTERS, what .. ':' .. kind .. ':' .. bucket, 1)
  redis.call('HINCRBY', COUNTERS, what .. ':' .. kind .. ':ms', number_text(ms))
end

-- Counts runs that ended, or never began, with a status.
local function count_ended(kind, status, at, by)
  count('ended:' .. kind .. ':' .. status, 'ended:' .. status, at, by)
end

local function answers_key(owner, hour) return PREFIX .. 'owner:' .. owner .. ':answers:' .. number_text(hour) end

-- Keeps an answer in a receipt, and counts it for as long as it is kept.
local function keep_answer(receipt, owner, answer, at)
  redis.call('HSET', receipt_key(receipt), 'answer', answer)
  if owner == NOBODY then return end
  local key = answers_key(owner, math.floor(at / 3600000))
  redis.call('INCRBY', key, #answer)
  redis.call('EXPIRE', key, 90000)
end

-- Tells whoever watches a task that something about it changed.
local function tell(task_id) redis.call('PUBLISH', PREFIX .. 'events:' .. task_id, '') end

-- Keeps what came of an attempt; it has the output that was kept while it went on.
local function set_outcome(run_id, outcome)
  redis.call('SET', outcome_key(run_id), outcome)
  redis.call('DEL', stdout_key(run_id), stderr_key(run_id))
end

-- A run as parse.py reads it: id, fields, outcome (JSON, '' where there is none), attempts (JSON each), and what is kept
-- of stdout and stderr where there is no outcome.
local function run_answer(run_id)
  local outcome = redis.call('GET', outcome_key(run_id)) or ''
  local live = outcome == '' and redis.call('MGET', stdout_key(run_id), stderr_key(run_id)) or {}
  return { run_id, redis.call('HGETALL', run_key(run_id)), outcome, redis.call('LRANGE', attempts_key(run_id), 0, -1),
    live[1] or '', live[2] or '' }
end

-- Puts a moment into the due set, and wakes Beat where it comes before all others.
local function set_due(member, at)
  local first = redis.call('ZRANGE', DUE, 0, 0, 'WITHSCORES')
  redis.call('ZADD', DUE, at, member)
  if not first[2] or at < tonumber(first[2]) then
    redis.call('RPUSH', WAKE, 1)
    redis.call('LTRIM', WAKE, -1, -1)
  end
end

local function move_task(id, new, reason, at)
  local was, kind_of_task, kind = unpack(redis.call('HMGET', task_key(id), 'status', 'type', 'kind'))
  if was == new then return end
  local moves = kind_of_task == 'scheduled' and SCHEDULE_MOVES or RUN_MOVES
  if not (moves[was] and moves[was][new]) then
    error('illegal move of task ' .. id .. ': ' .. tostring(was) .. ' to ' .. new)
  end
  redis.call('HSET', task_key(id), 'status', new, 'updated', number_text(at))
  if reason and reason ~= '' then redis.call('HSET', task_key(id), 'reason', reason) end
  redis.call('ZREM', group_key(was, kind_of_task, kind), id)
  redis.call('ZADD', group_key(new, kind_of_task, kind), 0, id)
  tell(id)
  if kind_of_task == 'scheduled' and ENDED[new] then redis.call('SREM', schedules_key(owner_of(id)), id) end
end

-- Notes for removal by age that a task has ended for good.
local function note_end(id, at)
  local minute = math.floor(at / 60000)
  if redis.call('RPUSH', ended_key(minute), id) == 1 then redis.call('ZADD', ENDINGS, minute, number_text(minute)) end
end

-- The same for a scheduled task, once it has ended and nothing of it runs any more; noting it twice in a row is fine.
local function mark_ended(id, at)
  if not ENDED[task_field(id, 'status')] or redis.call('SCARD', active_key(id)) > 0 then return end
  if redis.call('LINDEX', ended_key(math.floor(at / 60000)), -1) ~= id then note_end(id, at) end
end

-- Takes back that a task ended in that minute.
local function forget_end(id, minute)
  redis.call('LREM', ended_key(minute), 1, id)
  if redis.call('EXISTS', ended_key(minute)) == 0 then redis.call('ZREM', ENDINGS, number_text(minute)) end
end
