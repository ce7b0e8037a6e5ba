#!lua flags=allow-oom
-- Takes runs away from workers whose lease ran out: queued again while losses are allowed, else lost.
-- Leases that ran out while no beat ticked are not looked at yet: see spare_leases.
-- KEYS[1] prefix
-- ARGV    1 at most so many at once
-- Answer  for each run: its id and its status now
local at = now_ms()
spare_leases(at)
local reaped = {}
for _, run_id in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', at, 'LIMIT', 0, tonumber(ARGV[1]))) do
  redis.call('ZREM', LEASES, run_id)
  local status, losses = unpack(redis.call('HMGET', run_key(run_id), 'status', 'losses'))
  if status == 'stopping' then
    redis.call('HSET', run_key(run_id), 'reason', 'stop_requested')
    move_run(run_id, 'stopped', at)
  elseif status == 'running' then
    if tonumber(losses or 0) < tonumber(task_field(task_of(run_id), 'losses')) then
      redis.call('HINCRBY', run_key(run_id), 'losses', 1)
      keep_attempt(run_id, at, 'lost', 'worker_lost')
      move_run(run_id, 'queued', at)
    else
      redis.call('HSET', run_key(run_id), 'reason', 'worker_lost')
      move_run(run_id, 'lost', at)
    end
  end
  reaped[#reaped + 1] = { run_id, run_field(run_id, 'status') or '' }
end
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', WORKERS, '-inf', at)) do
  redis.call('ZREM', WORKERS, worker)
  redis.call('DEL', calls_key(worker))
end
return reaped
