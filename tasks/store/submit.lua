#!lua
-- Stores a task, its first run and its index entries, all or nothing.
-- KEYS[1] prefix
-- ARGV    1 task id  2 type  3 kind  4 priority  5 created (ms)  6 about (JSON)  7 spec (JSON)  8 tags (JSON)
--         9 delay (ms from now, '' where not delayed by a time)  10 due (ms, '' for immediate)
--         11 expires (ms after due, '')  12 losses allowed  13 runs kept  14 ring at most for so many waiting
--         15 owner  16 most tasks of an owner ('' for any number)  17 most schedules of an owner that still fire ('')
-- Answer  when it is due (ms), and 1 where a bell should be rung for its first run, 0 where not.
--         Storing the same id again changes nothing. 'quota', which one ('tasks' or 'schedules') and its size where one is full.
local id, kind_of_task, kind, created = ARGV[1], ARGV[2], ARGV[3], ARGV[5]
if redis.call('EXISTS', task_key(id)) == 1 then
  local due = task_field(id, 'due') or run_field(run_id_of(id, 1), 'due') or created
  return { due, task_field(id, 'status') == 'queued' and 1 or 0 }
end
local owner = ARGV[15]
if ARGV[16] ~= '' and redis.call('ZCARD', index_key('owner', owner)) >= tonumber(ARGV[16]) then
  return { 'quota', 'tasks', ARGV[16] }
end
if kind_of_task == 'scheduled' then
  if ARGV[17] ~= '' and redis.call('SCARD', schedules_key(owner)) >= tonumber(ARGV[17]) then
    return { 'quota', 'schedules', ARGV[17] }
  end
  redis.call('SADD', schedules_key(owner), id)
end
local at = now_ms()
local due = tonumber(ARGV[10]) or at
if ARGV[9] ~= '' then due = at + tonumber(ARGV[9]) end
local status = kind_of_task == 'immediate' and 'queued' or 'scheduled'
redis.call('HSET', task_key(id), 'status', status, 'type', kind_of_task, 'kind', kind, 'prio', ARGV[4],
  'created', created, 'updated', created, 'runs', 0, 'first', 1, 'losses', ARGV[12], 'owner', owner)
if kind_of_task ~= 'immediate' then redis.call('HSET', task_key(id), 'due', number_text(due)) end
if kind_of_task == 'scheduled' then redis.call('HSET', task_key(id), 'fired', 0, 'history', ARGV[13]) end
if ARGV[11] ~= '' then redis.call('HSET', task_key(id), 'expires', ARGV[11]) end
redis.call('SET', about_key(id), ARGV[6])
redis.call('SET', spec_key(id), ARGV[7])
redis.call('ZADD', TASKS, 0, id)
redis.call('ZADD', index_key('status', status), 0, id)
redis.call('ZADD', index_key('type', kind_of_task), 0, id)
redis.call('ZADD', index_key('kind', kind), 0, id)
redis.call('ZADD', index_key('owner', owner), 0, id)
local tags = cjson.decode(ARGV[8])
if #tags > 0 then redis.call('HSET', task_key(id), 'tags', ARGV[8]) end
for _, tag in ipairs(tags) do redis.call('ZADD', index_key('tag', tag), 0, id) end
if kind_of_task == 'scheduled' then
  set_due(id, due)
  return { number_text(due), 0 }
end
local run_id = create_run(id, due, status, at)
if kind_of_task == 'delayed' then
  set_due(run_id, due)
  return { number_text(due), 0 }
end
return { number_text(due), redis.call('ZCARD', queued_key(kind)) <= tonumber(ARGV[14]) and 1 or 0 }
