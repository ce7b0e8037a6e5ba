#!lua flags=allow-oom
-- Trades a refresh token for the next one. Each is good once: one that comes again was stolen from somebody, and ends the session.
-- KEYS[1] prefix
-- ARGV    1 session id  2 id of the refresh token that was sent  3 id of the next one  4 lifetime (s)
-- Answer  user and role; 'reused' and the user where the session was ended for it; nothing where it is not good any more
local user, epoch, expected = unpack(redis.call('HMGET', session_key(ARGV[1]), 'user', 'epoch', 'refresh'))
if not user then return false end
local role, disabled, current = unpack(redis.call('HMGET', user_key(user), 'role', 'disabled', 'epoch'))
if not role or disabled ~= '0' or current ~= epoch then return false end
if expected ~= ARGV[2] then
  redis.call('DEL', session_key(ARGV[1]))
  return { 'reused', user }
end
redis.call('HSET', session_key(ARGV[1]), 'refresh', ARGV[3])
redis.call('EXPIRE', session_key(ARGV[1]), ARGV[4])
return { user, role }
