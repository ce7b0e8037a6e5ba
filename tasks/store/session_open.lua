#!lua flags=allow-oom
-- Opens a session for a user whose password was right a moment ago.
-- KEYS[1] prefix
-- ARGV    1 session id  2 user  3 password hash that was checked  4 id of the refresh token  5 lifetime (s)
-- Answer  the user's role; nothing where the user is gone, disabled, or has another password meanwhile
local role, password, disabled, epoch = unpack(redis.call('HMGET', user_key(ARGV[2]), 'role', 'password', 'disabled', 'epoch'))
if not role or disabled ~= '0' or password ~= ARGV[3] then return false end
redis.call('HSET', session_key(ARGV[1]), 'user', ARGV[2], 'epoch', epoch, 'refresh', ARGV[4])
redis.call('EXPIRE', session_key(ARGV[1]), ARGV[5])
return role
