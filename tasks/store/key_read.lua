#!lua flags=allow-oom
-- Whose API key it is, if it is still good, and notes that it was used.
-- KEYS[1] prefix
-- ARGV    1 key id  2 digest of the secret that was sent  3 note its use where the last note is so old (ms)
-- Answer  user, the user's role, the key's role; nothing where there is no such key or the user may not come in any more
local key = api_key_key(ARGV[1])
local user, role, digest, used = unpack(redis.call('HMGET', key, 'user', 'role', 'digest', 'used'))
if not user or digest ~= ARGV[2] then return false end
local user_role, disabled = unpack(redis.call('HMGET', user_key(user), 'role', 'disabled'))
if not user_role or disabled ~= '0' then return false end
local at = now_ms()
if not used or at - tonumber(used) >= tonumber(ARGV[3]) then redis.call('HSET', key, 'used', number_text(at)) end
return { user, user_role, role }
