#!lua
-- Keeps a secret, sealed, under its name.
-- KEYS[1] prefix
-- ARGV    1 owner  2 name  3 what is kept (base64)  4 most secrets of an owner
-- Answer  'new', 'changed' or 'full'
local key = KEYS[1] .. 'secrets:' .. ARGV[1]
local was = redis.call('HGET', key, ARGV[2])
if not was and redis.call('HLEN', key) >= tonumber(ARGV[4]) then return 'full' end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', key, ARGV[2], (was and string.match(was, '^%d+') or now) .. ' ' .. now .. ' ' .. ARGV[3])
return was and 'changed' or 'new'
