#!lua
-- Makes the next generation of an owner's signing secret.
-- KEYS[1] prefix
-- ARGV    1 owner  2 receipt of the request, '' for none: where it says that this was done, nothing is
-- Answer  nothing
local receipt = receipt_key(ARGV[2])
if redis.call('HGET', receipt, 'run') then return false end
if redis.call('EXISTS', receipt) == 1 then redis.call('HSET', receipt, 'run', ARGV[1]) end
local key = PREFIX .. 'callback_secrets'
local generation = string.match(redis.call('HGET', key, ARGV[1]) or '1 ', '^%d+')
redis.call('HSET', key, ARGV[1], number_text(generation + 1) .. ' ' .. number_text(now_ms()))
return false
