#!lua flags=allow-oom
-- Pauses a scheduled task: Beat then records its occurrences as skipped. Runs in progress go on.
-- KEYS[1] prefix
-- ARGV    1 task id
-- Answer  nothing where there is no such task; else its type, its status before and now
local id = ARGV[1]
local was, kind_of_task = unpack(redis.call('HMGET', task_key(id), 'status', 'type'))
if not was then return false end
if kind_of_task == 'scheduled' and was == 'scheduled' then
  redis.call('HINCRBY', task_key(id), 'rev', 1)
  move_task(id, 'paused', nil, now_ms())
end
return { kind_of_task, was, task_field(id, 'status') }
