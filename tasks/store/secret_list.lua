#!lua flags=no-writes
-- Names of an owner's secrets and when they were made and changed, never what is kept.
-- KEYS[1] prefix
-- ARGV    1 owner
-- Answer  name, 'created updated' (ms), and so on
local found = redis.call('HGETALL', KEYS[1] .. 'secrets:' .. ARGV[1])
for i = 2, #found, 2 do found[i] = string.match(found[i], '^%d+ %d+') end
return found
