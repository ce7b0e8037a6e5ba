-- Runs: how they are made, claimed, ended and removed, and the schedules that make them.

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
