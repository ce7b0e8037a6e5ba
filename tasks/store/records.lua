-- Every script starts with this: the keys, the clock, the guarded moves, and how runs are made and removed.
-- KEYS[1]  the prefix of all keys; it holds the hash tag, so that they share one slot of a cluster.
-- STATUSES, TYPES, RUN_MOVES, SCHEDULE_MOVES, FINISHED, ENDED and BUCKETS are rendered in front of this text (scripts.py).
--
--   task:{id}            hash    status type kind prio owner tags created updated due runs fired missed rev reason
--                                callback …;
--                                no `prio` is normal, no `owner` is anonymous
--   task:{id}:body       JSON    name, timing, timeout, retry, expires_in, tags ("about"); a line break; then JSON of the
--                                kind's own fields ("spec"): one key for both, since each costs a hundred bytes
--   task:{id}:active     set     ids of unfinished runs (scheduled tasks only)
--   task:{id}:waiting    list    ids of runs that wait for the one before (overlap: queue)
--   task:{id}:ran        sorted set   numbers of the runs that are kept, skipped ones apart, so that neither crowd out
--   task:{id}:skipped    sorted set   the others (scheduled tasks only; any other has one run at the most)
--   task:{id}:callbacks  sorted set   numbers of the runs that have a delivery
--   run:{id}             hash    status due queued started finished worker attempt losses reason
--   run:{id}:outcome     JSON    result, error, stdout, stderr, output_truncated, usage
--   run:{id}:stdout, run:{id}:stderr   string   what the attempt in progress has printed; then run:{id}:outcome has it
--   run:{id}:attempts    list    JSON, one for each ended attempt but the last
--   run:{id}:callback    hash    state receiver tries first due since reason: the delivery of the news that it ended
--   run:{id}:tries       list    JSON, one for each try of that delivery that is over
--   tasks:in:{status}:{type}:{kind}, tasks:owner:…, tasks:tag:…   sorted sets by id, which is by time; a task is in one
--                                of the first sort, and all of these together are all tasks
--   kinds                set     every kind that a task ever had
--   owner:{name}:schedules   set   ids of scheduled tasks that have not ended
--   owner:{name}:running     set   run ids that workers have, where there is a quota of them
--   owner:{name}:next:{kind} string   the one run of a named owner in queued:{kind}: owners take turns there
--   owner:{name}:held        set   kinds of which runs are held back
--   owner:{name}:held:{kind} sorted set   his other queued runs, behind that one: high priority first, then oldest first
--   held                 set   owners of whom runs are held back
--   due                  sorted set   run id or id of a scheduled task, by due time
--   queued:{kind}        sorted set   run ids, high priority first, then oldest first; those of named owners in turn
--   callbacks            sorted set   owners by the time at which the first of their deliveries is due
--   callbacks:{owner}    sorted set   receivers (owner, space, origin) likewise
--   callbacks:{receiver} sorted set   run ids by the time at which their delivery is due, or its claim ends
--   callback_secrets     hash    owner → generation of his signing secret, since when (ms)
--   leases               sorted set   run ids by the end of their lease
--   ended                sorted set   minutes since 1970 in which tasks ended that will never run again
--   ended:{minute}       list    ids of those tasks, by their end, which is when they were updated last
--   workers              sorted set   worker ids by the time at which they count as gone
--   worker:{id}          JSON    what the worker says of itself
--   worker:{id}:calls    list    run ids that the worker must stop
--   receipt:{hash}       hash    fingerprint token ends answer run, for a day
--   owner:{name}:answers:{hour} string   bytes of the answers that receipts of a named owner began to keep in one hour since
--                                1970, for a day
--   counters             hash    what happened so often since the first task: submitted:{type}:{kind},
--                                ended:{kind}:{status}, callbacks:{state or tries}, {delay or duration}:{kind}:{bucket or ms}
--   counters:{minute}    hash    submitted and ended:{status} in one minute since 1970, for an hour
--   events:{id}          channel   something about a task changed
--   beat, wake           string and list   when a beat last ticked; wakes it for an earlier due time
local PREFIX = KEYS[1]
local HIGH_FIRST = 1000000000000000
local MOST_WAITING = 100
local MOST_OWED = 1000
local CALL_SECONDS = 60
local COUNTED_SECONDS = 3700
local HOLD_AT_ONCE = 100
local AWAY = 10000
local NOBODY = 'anonymous'

local function number_text(value) return string.format('%.0f', value) end
local function task_key(id) return PREFIX .. 'task:' .. id end
local function body_key(id) return PREFIX .. 'task:' .. id .. ':body' end
local function active_key(id) return PREFIX .. 'task:' .. id .. ':active' end
local function waiting_key(id) return PREFIX .. 'task:' .. id .. ':waiting' end
local function ran_key(id) return PREFIX .. 'task:' .. id .. ':ran' end
local function skipped_key(id) return PREFIX .. 'task:' .. id .. ':skipped' end
local function run_key(id) return PREFIX .. 'run:' .. id end
local function outcome_key(id) return PREFIX .. 'run:' .. id .. ':outcome' end
local function stdout_key(id) return PREFIX .. 'run:' .. id .. ':stdout' end
local function stderr_key(id) return PREFIX .. 'run:' .. id .. ':stderr' end
local function attempts_key(id) return PREFIX .. 'run:' .. id .. ':attempts' end
local function callback_key(run_id) return PREFIX .. 'run:' .. run_id .. ':callback' end
local function tries_key(run_id) return PREFIX .. 'run:' .. run_id .. ':tries' end
local function callbacks_key(id) return PREFIX .. 'task:' .. id .. ':callbacks' end
local function receiver_key(receiver) return PREFIX .. 'callbacks:' .. receiver end
local function queued_key(kind) return PREFIX .. 'queued:' .. kind end
local function worker_key(id) return PREFIX .. 'worker:' .. id end
local function calls_key(id) return PREFIX .. 'worker:' .. id .. ':calls' end
local function schedules_key(owner) return PREFIX .. 'owner:' .. owner .. ':schedules' end
local function running_key(owner) return PREFIX .. 'owner:' .. owner .. ':running' end
local function next_key(owner, kind) return PREFIX .. 'owner:' .. owner .. ':next:' .. kind end
local function held_kinds_key(owner) return PREFIX .. 'owner:' .. owner .. ':held' end
local function held_key(owner, kind) return PREFIX .. 'owner:' .. owner .. ':held:' .. kind end
local function index_key(name, value) return PREFIX .. 'tasks:' .. name .. ':' .. value end
local function receipt_key(hash) return PREFIX .. 'receipt:' .. hash end
local function group_key(status, kind_of_task, kind)
  return PREFIX .. 'tasks:in:' .. status .. ':' .. kind_of_task .. ':' .. kind
end
local KINDS = PREFIX .. 'kinds'
local DUE = PREFIX .. 'due'
local LEASES = PREFIX .. 'leases'
local CALLBACKS = PREFIX .. 'callbacks'
local HELD = PREFIX .. 'held'
local ENDINGS = PREFIX .. 'ended'
local function ended_key(minute) return ENDINGS .. ':' .. number_text(minute) end
local WORKERS = PREFIX .. 'workers'
local BEAT = PREFIX .. 'beat'
local WAKE = PREFIX .. 'wake'
local COUNTERS = PREFIX .. 'counters'
local function minute_key(minute) return COUNTERS .. ':' .. number_text(minute) end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function task_of(run_id) return string.match(run_id, '^(.*)%.%d+$') end

local function run_id_of(task_id, number) return task_id .. '.' .. number_text(number) end

local function task_field(id, name) return redis.call('HGET', task_key(id), name) end

-- Whose task it is.
local function owner_of(id) return task_field(id, 'owner') or NOBODY end

local function run_field(id, name) return redis.call('HGET', run_key(id), name) end

-- What goes into task:{id}:body.
local function set_body(id, about, spec) redis.call('SET', body_key(id), about .. '\n' .. spec) end

-- About and spec of a task; nothing where there is no such task.
local function body_of(id)
  local body = redis.call('GET', body_key(id))
  if not body then return nil end
  local stop = string.find(body, '\n', 1, true)
  return string.sub(body, 1, stop - 1), string.sub(body, stop + 1)
end

-- About alone, without reading a long spec; nothing where there is no such task.
local function about_of(id)
  local size = 512
  while true do
    local head = redis.call('GETRANGE', body_key(id), 0, size - 1)
    local stop = string.find(head, '\n', 1, true)
    if stop then return string.sub(head, 1, stop - 1) end
    if #head < size then return nil end
    size = size * 8
  end
end

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

-- Puts a member of `set` to where the first member of its own set stands, or takes it out where that is empty.
local function sort_by_first(set, member)
  local first = redis.call('ZRANGE', receiver_key(member), 0, 0, 'WITHSCORES')
  if first[2] then redis.call('ZADD', set, first[2], member) else redis.call('ZREM', set, member) end
end

-- Puts a receiver among those of its owner, and the owner among the others, by the first of their deliveries.
local function sort_receiver(receiver)
  local owner = string.match(receiver, '^%S+')
  sort_by_first(receiver_key(owner), receiver)
  sort_by_first(CALLBACKS, owner)
end

-- Lets the delivery of a run be due at a moment; its claim ends with that.
local function set_delivery(run_id, receiver, at)
  redis.call('HSET', callback_key(run_id), 'due', number_text(at))
  redis.call('HDEL', callback_key(run_id), 'since')
  redis.call('ZADD', receiver_key(receiver), at, run_id)
  sort_receiver(receiver)
end

-- Ends a delivery, as `delivered` or `failed`.
local function end_delivery(run_id, receiver, state, reason)
  redis.call('HSET', callback_key(run_id), 'state', state, 'reason', reason)
  redis.call('HDEL', callback_key(run_id), 'due', 'since')
  redis.call('ZREM', receiver_key(receiver), run_id)
  sort_receiver(receiver)
  redis.call('HINCRBY', COUNTERS, 'callbacks:' .. state, 1)
end

-- Notes that the end of a run is to be told, where its task has a callback for a run that ends like this. The task's
-- field is its events, separated by commas, and the origin that the callback goes to.
local function owe_callback(callback, run_id, status, at)
  local events, origin = string.match(callback, '^(%S+) (%S+)$')
  if not string.find(',' .. events .. ',', ',' .. status .. ',', 1, true) then return end
  local task_id, number = task_of(run_id), string.match(run_id, '%d+$')
  local receiver = owner_of(task_id) .. ' ' .. origin
  redis.call('HSET', callback_key(run_id), 'state', 'waiting', 'receiver', receiver, 'tries', 0, 'first', 0)
  redis.call('ZADD', callbacks_key(task_id), number, number)
  set_delivery(run_id, receiver, at)
end

local function is_owed(run_id) return redis.call('HGET', callback_key(run_id), 'state') == 'waiting' end

local function remove_run(run_id)
  local state, receiver = unpack(redis.call('HMGET', callback_key(run_id), 'state', 'receiver'))
  if state then
    if state == 'waiting' then end_delivery(run_id, receiver, 'dropped', '') end
    redis.call('ZREM', callbacks_key(task_of(run_id)), string.match(run_id, '%d+$'))
    redis.call('DEL', callback_key(run_id), tries_key(run_id))
  end
  redis.call('DEL', run_key(run_id), outcome_key(run_id), attempts_key(run_id), stdout_key(run_id), stderr_key(run_id))
end

-- Keeps the newest `keep` of the runs that a set numbers; unfinished ones stay, and what came after them. So do up to
-- MOST_OWED more whose callback has not arrived yet.
local function trim_rows(task_id, rows, keep)
  local over = redis.call('ZCARD', rows) - keep
  if over <= 0 then return end
  for _, number in ipairs(redis.call('ZRANGE', rows, 0, over - 1)) do
    local run_id = task_id .. '.' .. number
    local status = run_field(run_id, 'status')
    if status and not FINISHED[status] or over <= MOST_OWED and is_owed(run_id) then return end
    remove_run(run_id)
    redis.call('ZREM', rows, number)
    over = over - 1
  end
end

-- Keeps the newest runs of a scheduled task, and as many occurrences that did not run.
local function trim_runs(task_id)
  local keep = tonumber(task_field(task_id, 'history'))
  trim_rows(task_id, ran_key(task_id), keep)
  trim_rows(task_id, skipped_key(task_id), keep)
end

local move_run

-- What follows from the end of a run: the next of a queue is let in, a stopping task stops, history is trimmed.
local function run_ended(task_id, run_id, at)
  if task_field(task_id, 'type') ~= 'scheduled' then
    note_end(task_id, at)
    return
  end
  redis.call('SREM', active_key(task_id), run_id)
  local status = task_field(task_id, 'status')
  if status == 'stopping' and redis.call('SCARD', active_key(task_id)) == 0 then
    move_task(task_id, 'stopped', 'stop_requested', at)
  end
  local following = redis.call('LPOP', waiting_key(task_id))
  if following then move_run(following, 'queued', at) end
  trim_runs(task_id)
  mark_ended(task_id, at)
end

-- The only way in which a run changes its status; further arguments are pairs of field and value.
move_run = function(run_id, new, at, ...)
  local was = run_field(run_id, 'status')
  if not (RUN_MOVES[was] and RUN_MOVES[was][new]) then
    error('illegal move of run ' .. run_id .. ': ' .. tostring(was) .. ' to ' .. new)
  end
  local task_id = task_of(run_id)
  if (was == 'running' and new ~= 'stopping') or was == 'stopping' then
    free_place(owner_of(task_id), run_id)
  elseif was == 'queued' and new ~= 'running' then
    let_in(owner_of(task_id))
  end
  redis.call('HSET', run_key(run_id), 'status', new, ...)
  redis.call('HSET', task_key(task_id), 'updated', number_text(at))
  if task_field(task_id, 'type') ~= 'scheduled' then
    move_task(task_id, new, run_field(run_id, 'reason'), at)
  end
  if new == 'queued' then
    queue_run(run_id, at)
  elseif FINISHED[new] then
    redis.call('HSET', run_key(run_id), 'finished', number_text(at))
    local kind, callback = unpack(redis.call('HMGET', task_key(task_id), 'kind', 'callback'))
    local started = tonumber(run_field(run_id, 'started'))
    count_ended(kind, new, at, 1)
    if callback then owe_callback(callback, run_id, new, at) end
    if started then count_span('duration', kind, at - started) end
    run_ended(task_id, run_id, at)
  end
  tell(task_id)
end

-- Makes the next run of a task and returns its id; `status` is scheduled, queued or skipped.
local function create_run(task_id, due, status, at, reason)
  local number = redis.call('HINCRBY', task_key(task_id), 'runs', 1)
  local run_id = run_id_of(task_id, number)
  redis.call('HSET', run_key(run_id), 'status', status, 'due', number_text(due))
  if reason then redis.call('HSET', run_key(run_id), 'reason', reason) end
  if status == 'skipped' then
    redis.call('HSET', run_key(run_id), 'finished', number_text(at))
    redis.call('ZADD', skipped_key(task_id), number, number_text(number))
    local callback = task_field(task_id, 'callback')
    if callback then owe_callback(callback, run_id, 'skipped', at) end
  elseif task_field(task_id, 'type') == 'scheduled' then
    redis.call('ZADD', ran_key(task_id), number, number_text(number))
    redis.call('SADD', active_key(task_id), run_id)
  end
  if status == 'queued' then queue_run(run_id, at) end
  tell(task_id)
  return run_id
end

-- Records occurrences that do not run, and counts those that get no row of their own.
local function skip_occurrences(task_id, dues, reason, more, at)
  for _, due in ipairs(dues) do create_run(task_id, due, 'skipped', at, reason) end
  if more > 0 then
    redis.call('HINCRBY', task_key(task_id), 'missed', more)
    count_ended(task_field(task_id, 'kind'), 'skipped', at, more)
  end
end

-- Puts a scheduled task to its next due time; with '' for none it is completed for the reason given.
local function advance(task_id, next_due, reason, at)
  if next_due == '' then
    redis.call('ZREM', DUE, task_id)
    redis.call('HDEL', task_key(task_id), 'due')
    move_task(task_id, 'completed', reason, at)
  else
    redis.call('ZREM', DUE, task_id)
    set_due(task_id, tonumber(next_due))
    redis.call('HSET', task_key(task_id), 'due', next_due, 'updated', number_text(at))
  end
end

-- Tells the worker that has the run to end it at once.
local function call_worker(run_id)
  local worker = run_field(run_id, 'worker')
  if not worker then return end
  redis.call('RPUSH', calls_key(worker), run_id)
  redis.call('EXPIRE', calls_key(worker), CALL_SECONDS)
end

-- Notes the attempt that just ended, where another may follow.
local function keep_attempt(run_id, at, status, code)
  local worker, attempt, started = unpack(redis.call('HMGET', run_key(run_id), 'worker', 'attempt', 'started'))
  redis.call('RPUSH', attempts_key(run_id), cjson.encode({
    number = tonumber(attempt), worker = worker, started_at = tonumber(started), finished_at = at,
    status = status, code = code
  }))
end

-- Gives workers time to be heard again where Redis, or the whole machine, was away: no beat ticked for a while, so it is
-- not for want of a worker that leases ran out meanwhile. What had run out before that stays so.
local function spare_leases(at)
  local seen = tonumber(redis.call('GET', BEAT) or at)
  if at - seen < AWAY then return end
  local spared = redis.call('ZRANGEBYSCORE', LEASES, '(' .. number_text(seen), at)
  for _, run_id in ipairs(spared) do redis.call('ZADD', LEASES, at + AWAY, run_id) end
end

-- Takes a queued run for a worker; nil where it is not to be had. The answer is what the worker needs to do it.
-- `most` is how many runs of one owner may go at once, '' for any number; one more is held back.
local function claim(run_id, worker, lease, most)
  local at = now_ms()
  local status, due = unpack(redis.call('HMGET', run_key(run_id), 'status', 'due'))
  if status ~= 'queued' then return nil end
  local task_id = task_of(run_id)
  local kind, expires, owner = unpack(redis.call('HMGET', task_key(task_id), 'kind', 'expires', 'owner'))
  owner = owner or NOBODY
  local expired = expires and at > tonumber(due) + tonumber(expires)
  if most ~= '' and not expired and redis.call('SCARD', running_key(owner)) >= tonumber(most) then
    hold(run_id, owner, kind)
    return nil
  end
  leave_queue(run_id, owner, kind)
  if expired then
    redis.call('HSET', run_key(run_id), 'reason', 'expired')
    move_run(run_id, 'expired', at)
    return nil
  end
  redis.call('DEL', outcome_key(run_id), stdout_key(run_id), stderr_key(run_id))
  local attempt = redis.call('HINCRBY', run_key(run_id), 'attempt', 1)
  if attempt == 1 then count_span('delay', kind, at - tonumber(due)) end
  move_run(run_id, 'running', at, 'worker', worker, 'started', number_text(at))
  redis.call('ZADD', LEASES, at + lease, run_id)
  if most ~= '' then redis.call('SADD', running_key(owner), run_id) end
  if owner ~= NOBODY and (most == '' or redis.call('SCARD', running_key(owner)) < tonumber(most)) then
    let_in_one(owner, kind)
  end
  return { run_id, kind, attempt, number_text(at), body_of(task_id) }
end

-- The first run of a kind that can be had, skipping those that expired meanwhile and those that are held back; after
-- so many of them there is time for others: the next heartbeat rings for what is left.
local function claim_next(kind, worker, lease, most)
  for _ = 1, HOLD_AT_ONCE do
    local first = redis.call('ZRANGE', queued_key(kind), 0, 0)
    if not first[1] then return nil end
    local claimed = claim(first[1], worker, lease, most)
    if claimed then return claimed end
    redis.call('ZREM', queued_key(kind), first[1])
  end
end

-- Ids of all runs of a task that are kept.
local function run_ids(id, kind_of_task, runs)
  local ids = {}
  if kind_of_task ~= 'scheduled' then
    for number = 1, tonumber(runs) do ids[number] = run_id_of(id, number) end
    return ids
  end
  for _, rows in ipairs({ ran_key(id), skipped_key(id) }) do
    for _, number in ipairs(redis.call('ZRANGE', rows, 0, -1)) do ids[#ids + 1] = id .. '.' .. number end
  end
  return ids
end

-- Removes a task and all that belongs to it; a run in progress is called off and its late result finds nothing.
local function remove_task(id)
  local status, kind_of_task, kind, tags, runs, updated =
    unpack(redis.call('HMGET', task_key(id), 'status', 'type', 'kind', 'tags', 'runs', 'updated'))
  if not status then return false end
  local owner = owner_of(id)
  for _, run_id in ipairs(run_ids(id, kind_of_task, runs)) do
    local run_status = run_field(run_id, 'status')
    if run_status == 'running' or run_status == 'stopping' then call_worker(run_id) end
    redis.call('ZREM', DUE, run_id)
    redis.call('ZREM', LEASES, run_id)
    leave_queue(run_id, owner, kind)
    if run_status == 'queued' then let_in(owner) else free_place(owner, run_id) end
    remove_run(run_id)
  end
  redis.call('ZREM', DUE, id)
  if ENDED[status] then forget_end(id, math.floor(tonumber(updated) / 60000)) end
  redis.call('ZREM', group_key(status, kind_of_task, kind), id)
  redis.call('ZREM', index_key('owner', owner), id)
  redis.call('SREM', schedules_key(owner), id)
  for _, tag in ipairs(tags and cjson.decode(tags) or {}) do redis.call('ZREM', index_key('tag', tag), id) end
  tell(id)
  redis.call('DEL', task_key(id), body_key(id), active_key(id), waiting_key(id),
    ran_key(id), skipped_key(id), callbacks_key(id))
  return true
end
