#!lua flags=allow-oom
-- Undoes claims that a worker never heard of, because the answer was missed: nobody has begun these runs.
-- KEYS[1] prefix
-- ARGV    1 worker id  2 lease (ms)  3 milliseconds without a heartbeat after which a run counts as unknown
--         4… every attempt that the worker has, as `run id attempt`
-- Answer  the ids of these runs
local worker, at = ARGV[1], now_ms()
local known, undone = {}, {}
for i = 4, #ARGV do known[ARGV[i]] = true end
for _, run_id in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', at + tonumber(ARGV[2]) - tonumber(ARGV[3]))) do
  local status, owner, attempt = unpack(redis.call('HMGET', run_key(run_id), 'status', 'worker', 'attempt'))
  if owner == worker and not known[run_id .. ' ' .. attempt] then
    redis.call('ZREM', LEASES, run_id)
    if status == 'stopping' then
      redis.call('HSET', run_key(run_id), 'reason', 'stop_requested')
      move_run(run_id, 'stopped', at)
    else
      redis.call('HINCRBY', run_key(run_id), 'attempt', -1)
      redis.call('HDEL', run_key(run_id), 'worker', 'started')
      move_run(run_id, 'queued', at)
    end
    undone[#undone + 1] = run_id
  end
end
return undone
