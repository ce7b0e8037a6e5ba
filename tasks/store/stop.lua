#!lua flags=allow-oom
-- Stops a task and whatever of it waits or runs.
-- KEYS[1] prefix
-- ARGV    1 task id
-- Answer  nothing where there is no such task; else its status before and now
local id = ARGV[1]
local was, kind_of_task, kind, runs = unpack(redis.call('HMGET', task_key(id), 'status', 'type', 'kind', 'runs'))
if not was then return false end
local at = now_ms()

local function stop_run(run_id)
  local status = run_field(run_id, 'status')
  if not RUN_MOVES[status] or status == 'stopping' then return end
  redis.call('HSET', run_key(run_id), 'reason', 'stop_requested')
  if status == 'running' then
    move_run(run_id, 'stopping', at)
    call_worker(run_id)
  else
    redis.call('ZREM', DUE, run_id)
    leave_queue(run_id, owner_of(id), kind)
    move_run(run_id, 'stopped', at)
  end
end

if kind_of_task ~= 'scheduled' then
  if runs ~= '0' then stop_run(run_id_of(id, 1)) end
  redis.call('HDEL', task_key(id), 'due')
  return { was, task_field(id, 'status') }
end
local active = redis.call('SMEMBERS', active_key(id))
if was == 'scheduled' or was == 'paused' or (was == 'completed' and #active > 0) then
  redis.call('ZREM', DUE, id)
  redis.call('HDEL', task_key(id), 'due')
  redis.call('DEL', waiting_key(id))
  if #active > 0 then
    move_task(id, 'stopping', 'stop_requested', at)
    for _, run_id in ipairs(active) do stop_run(run_id) end
  else
    move_task(id, 'stopped', 'stop_requested', at)
  end
  mark_ended(id, at)
end
return { was, task_field(id, 'status') }
