#!lua
-- Stores tasks with their first runs and index entries, all or none.
-- KEYS[1] prefix
-- ARGV    1 owner  2 most tasks of an owner ('' for any number)  3 most schedules of an owner that still fire ('')
--         4 runs kept  5 ring at most for so many waiting
--         6 receipt ('' for none)  7 the token that opened it  8 the answer to keep there
--         then for each task: id  type  kind  priority  created (ms)  about (JSON)  spec (JSON)  tags (JSON)
--         delay (ms from now, '' where not delayed by a time)  due (ms, '' for now)
--         expires (ms after due, '')  losses allowed  1 where the schedule is paused ('' where not)
-- Answer  for each task when it is due (ms), and 1 where a bell should be rung for its first run, 0 where not.
--         Storing the same id again changes nothing. 'quota', which one ('tasks' or 'schedules') and its size where one
--         is full. 'taken' where the receipt is no longer the caller's.
local owner, history, most_waiting = ARGV[1], ARGV[4], tonumber(ARGV[5])
local FIRST, FIELDS = 9, 13

local function full()
  local tasks, schedules = 0, 0
  for i = FIRST, #ARGV, FIELDS do
    if redis.call('EXISTS', task_key(ARGV[i])) == 0 then
      tasks = tasks + 1
      if ARGV[i + 1] == 'scheduled' then schedules = schedules + 1 end
    end
  end
  if ARGV[2] ~= '' and tasks > 0 and redis.call('ZCARD', index_key('owner', owner)) + tasks > tonumber(ARGV[2]) then
    return { 'quota', 'tasks', ARGV[2] }
  end
  if ARGV[3] ~= '' and schedules > 0 and redis.call('SCARD', schedules_key(owner)) + schedules > tonumber(ARGV[3]) then
    return { 'quota', 'schedules', ARGV[3] }
  end
end

local function store(i, now)
  local id, kind_of_task, kind, prio, created, about, spec, tags, delay, given, expires, losses, paused = unpack(ARGV, i, i + FIELDS - 1)
  if redis.call('EXISTS', task_key(id)) == 1 then
    local due = task_field(id, 'due') or run_field(run_id_of(id, 1), 'due') or created
    return due, task_field(id, 'status') == 'queued' and 1 or 0
  end
  local due = tonumber(given) or now
  if delay ~= '' then due = now + tonumber(delay) end
  local status = paused ~= '' and 'paused' or kind_of_task == 'immediate' and 'queued' or 'scheduled'
  redis.call('HSET', task_key(id), 'status', status, 'type', kind_of_task, 'kind', kind, 'prio', prio,
    'created', created, 'updated', created, 'runs', 0, 'losses', losses, 'owner', owner)
  if kind_of_task ~= 'immediate' then redis.call('HSET', task_key(id), 'due', number_text(due)) end
  if kind_of_task == 'scheduled' then
    redis.call('HSET', task_key(id), 'fired', 0, 'history', history)
    redis.call('SADD', schedules_key(owner), id)
  end
  if expires ~= '' then redis.call('HSET', task_key(id), 'expires', expires) end
  count('submitted:' .. kind_of_task .. ':' .. kind, 'submitted', now, 1)
  redis.call('SET', about_key(id), about)
  redis.call('SET', spec_key(id), spec)
  redis.call('ZADD', TASKS, 0, id)
  redis.call('ZADD', index_key('status', status), 0, id)
  redis.call('ZADD', index_key('type', kind_of_task), 0, id)
  redis.call('ZADD', index_key('kind', kind), 0, id)
  redis.call('ZADD', index_key('owner', owner), 0, id)
  if tags ~= '[]' then redis.call('HSET', task_key(id), 'tags', tags) end
  for _, tag in ipairs(cjson.decode(tags)) do redis.call('ZADD', index_key('tag', tag), 0, id) end
  if kind_of_task == 'scheduled' then
    set_due(id, due)
    return number_text(due), 0
  end
  local run_id = create_run(id, due, status, kind_of_task == 'immediate' and due or now)
  if kind_of_task == 'delayed' then
    set_due(run_id, due)
    return number_text(due), 0
  end
  return number_text(due), redis.call('ZCARD', queued_key(kind)) <= most_waiting and 1 or 0
end

if ARGV[6] ~= '' and redis.call('HGET', receipt_key(ARGV[6]), 'token') ~= ARGV[7] then return { 'taken' } end
local refused = full()
if refused then return refused end
local now = now_ms()
local answer = {}
for i = FIRST, #ARGV, FIELDS do
  local due, rings = store(i, now)
  answer[#answer + 1] = due
  answer[#answer + 1] = rings
end
if ARGV[6] ~= '' then redis.call('HSET', receipt_key(ARGV[6]), 'answer', ARGV[8]) end
return answer
