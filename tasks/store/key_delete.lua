#!lua flags=allow-oom
-- Revokes an API key.
-- KEYS[1] prefix
-- ARGV    1 key id  2 only where it is this user's ('' for anybody's)
-- Answer  1 where there was such a key, else 0
local user = redis.call('HGET', api_key_key(ARGV[1]), 'user')
if not user or (ARGV[2] ~= '' and user ~= ARGV[2]) then return 0 end
redis.call('DEL', api_key_key(ARGV[1]))
redis.call('SREM', user_keys_key(user), ARGV[1])
return 1
