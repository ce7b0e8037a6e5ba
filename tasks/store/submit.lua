#!lua
-- Stores tasks with their first runs and index entries, all or none.
-- KEYS[1] prefix
-- ARGV    1 owner  2 most tasks of an owner ('' for any number)  3 most schedules of an owner that still fire ('')
--         4 runs kept  5 ring at most for so many waiting
--         6 receipt ('' for none)  7 the token that opened it  8 the answer to keep there
--         9 entry of the audit log (JSON, name and value in turn; '' for none)  10 entries kept there
--         11 and 12 list and message of a bell of high priority ('' where the caller rings)  13 and 14 of a normal one
--         then for each task: id  type  kind  priority  created (ms)  about (JSON)  spec (JSON)  tags (JSON)
--         delay (ms from now, '' where not delayed by a time)  due (ms, '' for now)
--         expires (ms after due, '')  losses allowed  1 where the schedule is paused ('' where not)
--         callback: its events, separated by commas, and the origin that it goes to ('' for none)
-- Answer  for each task when it is due (ms), and 1 where the caller should ring for its first run, 0 where not.
--         Storing the same id again changes nothing. 'quota', which one ('tasks' or 'schedules') and its size where one
--         is full. 'taken' where the receipt is no longer the caller's.
local owner, history, most_waiting = ARGV[1], ARGV[4], tonumber(ARGV[5])
local BELLS = { high = { ARGV[11], ARGV[12] }, normal = { ARGV[13], ARGV[14] } }
local FIRST, FIELDS = 15, 14
local stored_before, tasks, schedules = {}, 0, 0
for i = FIRST, #ARGV, FIELDS do
  stored_before[i] = redis.call('EXISTS', task_key(ARGV[i])) == 1
  if not stored_before[i] then
    tasks = tasks + 1
    if ARGV[i + 1] == 'scheduled' then schedules = schedules + 1 end
  end
end

local function full()
  if ARGV[2] ~= '' and tasks > 0 and redis.call('ZCARD', index_key('owner', owner)) + tasks > tonumber(ARGV[2]) then
    return { 'quota', 'tasks', ARGV[2] }
  end
  if ARGV[3] ~= '' and schedules > 0 and redis.call('SCARD', schedules_key(owner)) + schedules > tonumber(ARGV[3]) then
    return { 'quota', 'schedules', ARGV[3] }
  end
end

-- What has been stored already; whoever asks again has not heard the answer.
local function again(id, created)
  local due = task_field(id, 'due') or run_field(run_id_of(id, 1), 'due') or created
  return due, task_field(id, 'status') == 'queued' and 1 or 0
end

-- Rings for a run where few wait; 1 where the caller has to.
local crowded = {}
local function ring(run_id, kind, prio)
  crowded[kind] = crowded[kind] or redis.call('ZCARD', queued_key(kind)) > most_waiting
    or redis.call('ZCARD', held_key(owner, kind)) > most_waiting
  if crowded[kind] then return 0 end
  local list, message = unpack(BELLS[prio])
  if list == '' then return 1 end
  redis.call('LPUSH', list, (string.gsub(message, '%%run%%', run_id)))
  return 0
end

-- The first run of a task that has only one; whether the caller has to ring.
local function first_run(id, kind, prio, status, due)
  local run_id = run_id_of(id, 1)
  if status == 'queued' then
    redis.call('HSET', run_key(run_id), 'status', status, 'due', number_text(due), 'queued', number_text(due))
    enqueue(run_id, owner, kind, prio, due)
    return ring(run_id, kind, prio)
  end
  redis.call('HSET', run_key(run_id), 'status', status, 'due', number_text(due))
  set_due(run_id, due)
  return 0
end

-- Scores and ids for each index, added together: a command a task and index costs as much as all else of it.
local indexed = {}
local function index(key, id)
  local members = indexed[key] or {}
  indexed[key] = members
  members[#members + 1] = 0
  members[#members + 1] = id
end

-- How many of each type and kind have been stored now.
local submitted = {}

local function store(i, now)
  local id, kind_of_task, kind, prio, created, about, spec, tags, delay, given, expires, losses, paused, callback =
    unpack(ARGV, i, i + FIELDS - 1)
  if stored_before[i] then return again(id, created) end
  local due = tonumber(given) or now
  if delay ~= '' then due = now + tonumber(delay) end
  local status = paused ~= '' and 'paused' or kind_of_task == 'immediate' and 'queued' or 'scheduled'
  local fields = { 'status', status, 'type', kind_of_task, 'kind', kind, 'created', created,
    'updated', created, 'losses', losses, 'runs', kind_of_task == 'scheduled' and 0 or 1 }
  local function add(name, value)
    fields[#fields + 1] = name
    fields[#fields + 1] = value
  end
  if prio ~= 'normal' then add('prio', prio) end
  if owner ~= NOBODY then add('owner', owner) end
  if kind_of_task ~= 'immediate' then add('due', number_text(due)) end
  if kind_of_task == 'scheduled' then
    add('fired', 0)
    add('history', history)
    redis.call('SADD', schedules_key(owner), id)
  end
  if expires ~= '' then add('expires', expires) end
  if callback ~= '' then add('callback', callback) end
  if tags ~= '[]' then
    add('tags', tags)
    for _, tag in ipairs(cjson.decode(tags)) do redis.call('ZADD', index_key('tag', tag), 0, id) end
  end
  redis.call('HSET', task_key(id), unpack(fields))
  set_body(id, about, spec)
  index(group_key(status, kind_of_task, kind), id)
  index(index_key('owner', owner), id)
  local sort = kind_of_task .. ':' .. kind
  if not submitted[sort] then redis.call('SADD', KINDS, kind) end
  submitted[sort] = (submitted[sort] or 0) + 1
  if kind_of_task == 'scheduled' then
    set_due(id, due)
    return number_text(due), 0
  end
  return number_text(due), first_run(id, kind, prio, status, due)
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
for key, members in pairs(indexed) do
  for first = 1, #members, 2000 do
    redis.call('ZADD', key, unpack(members, first, math.min(first + 1999, #members)))
  end
end
for sort, many in pairs(submitted) do count('submitted:' .. sort, 'submitted', now, many) end
if ARGV[6] ~= '' then keep_answer(ARGV[6], owner, ARGV[8], now) end
if ARGV[9] ~= '' and tasks > 0 then
  redis.call('XADD', PREFIX .. 'audit', 'MAXLEN', '~', ARGV[10], '*', unpack(cjson.decode(ARGV[9])))
end
return answer
