#!lua flags=no-writes
-- What is going on: who lives, what waits.
-- KEYS[1] prefix
-- ARGV    kinds
-- Answer  now (ms), when a beat last ticked (ms, ''), due, running, held back, then queued for each kind in turn,
--         and what each live worker says of itself (JSON)
local at = now_ms()
local queued, workers, held = {}, {}, 0
for i = 1, #ARGV do queued[i] = redis.call('ZCARD', queued_key(ARGV[i])) end
for _, owner in ipairs(redis.call('SMEMBERS', HELD)) do
  for _, kind in ipairs(redis.call('SMEMBERS', held_kinds_key(owner))) do
    held = held + redis.call('ZCARD', held_key(owner, kind))
  end
end
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', WORKERS, number_text(at), '+inf')) do
  local said = redis.call('GET', worker_key(worker))
  if said then workers[#workers + 1] = said end
end
return { number_text(at), redis.call('GET', BEAT) or '', redis.call('ZCARD', DUE), redis.call('ZCARD', LEASES), held, queued, workers }
