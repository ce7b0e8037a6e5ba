#!lua flags=allow-oom
-- A worker that goes away returns a run it was told to end: queued again where it may be repeated, else lost.
-- KEYS[1] prefix
-- ARGV    1 run id  2 worker id  3 attempt  4 outcome so far (JSON)
-- Answer  its status now; nothing where the run is no longer this worker's.
local run_id, worker, attempt = ARGV[1], ARGV[2], ARGV[3]
local was, owner, current = unpack(redis.call('HMGET', run_key(run_id), 'status', 'worker', 'attempt'))
if owner ~= worker or current ~= attempt or (was ~= 'running' and was ~= 'stopping') then return false end
local at = now_ms()
redis.call('ZREM', LEASES, run_id)
set_outcome(run_id, ARGV[4])
local new = 'lost'
if was == 'stopping' then
  new = 'stopped'
  redis.call('HSET', run_key(run_id), 'reason', 'stop_requested')
elseif tonumber(task_field(task_of(run_id), 'losses')) > 0 then
  new = 'queued'
  keep_attempt(run_id, at, 'stopped', 'worker_shutdown')
else
  redis.call('HSET', run_key(run_id), 'reason', 'worker_shutdown')
end
move_run(run_id, new, at)
return new
