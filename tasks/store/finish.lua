#!lua
-- Records how an attempt ended, if the worker still owns it, and takes the next run of the same kind.
-- KEYS[1] prefix
-- ARGV    1 run id  2 worker id  3 attempt  4 status  5 reason  6 outcome (JSON)  7 retry after (ms, '' for no retry)
--         8 lease (ms)  9 kind of the run to take next, '' for none  10 runs of one owner that may go at once ('')
-- Answer  1 where it was recorded, 0 where the run is no longer this worker's; then the claimed run as claim.lua has it
local run_id, worker, attempt, status, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local following = function() return ARGV[9] ~= '' and claim_next(ARGV[9], worker, tonumber(ARGV[8]), ARGV[10]) or false end
local was, owner, current = unpack(redis.call('HMGET', run_key(run_id), 'status', 'worker', 'attempt'))
if owner ~= worker or current ~= attempt or (was ~= 'running' and was ~= 'stopping') then
  return { 0, following() }
end
local at = now_ms()
local task_id = task_of(run_id)
redis.call('ZREM', LEASES, run_id)
set_outcome(run_id, ARGV[6])
if was == 'stopping' then status, reason = 'stopped', 'stop_requested' end
local retry_at = ARGV[7] ~= '' and was == 'running' and at + tonumber(ARGV[7])
if retry_at then
  local expires = task_field(task_id, 'expires')
  if expires and retry_at > tonumber(run_field(run_id, 'due')) + tonumber(expires) then retry_at = false end
end
if retry_at then
  keep_attempt(run_id, at, status, reason)
  move_run(run_id, 'retrying', at)
  if task_field(task_id, 'type') ~= 'scheduled' then
    redis.call('HSET', task_key(task_id), 'due', number_text(retry_at))
  end
  set_due(run_id, retry_at)
else
  if reason ~= '' then redis.call('HSET', run_key(run_id), 'reason', reason) end
  move_run(run_id, status, at)
end
return { 1, following() }
