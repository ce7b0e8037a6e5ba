#!lua
-- Makes the next generation of an owner's signing secret.
-- KEYS[1] prefix
-- ARGV    1 owner
-- Answer  nothing
local key = PREFIX .. 'callback_secrets'
local generation = string.match(redis.call('HGET', key, ARGV[1]) or '1 ', '^%d+')
redis.call('HSET', key, ARGV[1], number_text(generation + 1) .. ' ' .. number_text(now_ms()))
return false
