#!lua flags=no-writes
-- Whose session it is, if it is still good.
-- KEYS[1] prefix
-- ARGV    1 session id
-- Answer  user and role; nothing where the session has ended or the user may not come in any more
local user, epoch = unpack(redis.call('HMGET', session_key(ARGV[1]), 'user', 'epoch'))
if not user then return false end
local role, disabled, current = unpack(redis.call('HMGET', user_key(user), 'role', 'disabled', 'epoch'))
if not role or disabled ~= '0' or current ~= epoch then return false end
return { user, role }
