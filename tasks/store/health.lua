#!lua flags=no-writes
-- What is going on: who lives, what waits.
-- KEYS[1] prefix
-- ARGV    1 runs of one owner that may go at once ('' for any number)  2… kinds
-- Answer  now (ms), when a beat last ticked (ms, ''), due, running, held back, then queued for each kind in turn,
--         and what each live worker says of itself (JSON)
local at = now_ms()
local queued, place, workers, held = {}, {}, {}, 0
for i = 2, #ARGV do
  queued[i - 1], place[ARGV[i]] = redis.call('ZCARD', queued_key(ARGV[i])), i - 1
end
for _, owner in ipairs(redis.call('SMEMBERS', HELD)) do
  local is_full = ARGV[1] ~= '' and redis.call('SCARD', running_key(owner)) >= tonumber(ARGV[1])
  for _, kind in ipairs(redis.call('SMEMBERS', held_kinds_key(owner))) do
    local many, at_kind = redis.call('ZCARD', held_key(owner, kind)), place[kind]
    -- The others only wait for their turn, and a worker may have them.
    if is_full then held = held + many elseif at_kind then queued[at_kind] = queued[at_kind] + many end
  end
end
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', WORKERS, number_text(at), '+inf')) do
  local said = redis.call('GET', worker_key(worker))
  if said then workers[#workers + 1] = said end
end
return { number_text(at), redis.call('GET', BEAT) or '', redis.call('ZCARD', DUE), redis.call('ZCARD', LEASES), held, queued, workers }
