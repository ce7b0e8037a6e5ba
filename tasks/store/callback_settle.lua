#!lua flags=allow-oom
-- Records what came of a try, if the delivery is still the one that claimed it.
-- KEYS[1] prefix
-- ARGV    1 run id  2 number of the try  3 'delivered', 'failed', 'waiting' for another try, or 'released' where it was
--         broken off and does not count  4 reason of a failure  5 the try (JSON)  6 another try after (ms)
-- Answer  1 where it was recorded, else 0
local TRIES_KEPT = 50
local run_id, state = ARGV[1], ARGV[3]
local receiver, tries, since = unpack(redis.call('HMGET', callback_key(run_id), 'receiver', 'tries', 'since'))
if not since or tries ~= ARGV[2] then return 0 end
if state == 'released' then
  redis.call('HINCRBY', callback_key(run_id), 'tries', -1)
  set_delivery(run_id, receiver, now_ms())
  return 1
end
redis.call('RPUSH', tries_key(run_id), ARGV[5])
redis.call('LTRIM', tries_key(run_id), -TRIES_KEPT, -1)
redis.call('HINCRBY', COUNTERS, 'callbacks:tries', 1)
if state == 'waiting' then
  set_delivery(run_id, receiver, now_ms() + tonumber(ARGV[6]))
else
  end_delivery(run_id, receiver, state, ARGV[4])
end
return 1
