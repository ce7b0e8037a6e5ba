#!lua
-- Adds a user, unless the name is taken or was.
-- KEYS[1] prefix
-- ARGV    1 name  2 role  3 password hash  4 '1' only where there is no admin yet
-- Answer  'created', 'taken', 'former', or 'admin_exists'
local name, role = ARGV[1], ARGV[2]
if ARGV[4] == '1' and redis.call('SCARD', ADMINS) > 0 then return 'admin_exists' end
if redis.call('EXISTS', user_key(name)) == 1 then return 'taken' end
if redis.call('SISMEMBER', FORMER, name) == 1 then return 'former' end
local at = number_text(now_ms())
redis.call('HSET', user_key(name), 'role', role, 'password', ARGV[3], 'disabled', 0, 'epoch', 1, 'created', at, 'updated', at)
redis.call('ZADD', USERS, 0, name)
if role == 'admin' then redis.call('SADD', ADMINS, name) end
return 'created'
