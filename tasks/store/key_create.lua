#!lua
-- Keeps a new API key of a user.
-- KEYS[1] prefix
-- ARGV    1 key id  2 user  3 name  4 role  5 digest of its secret  6 expires (ms, '' for never)  7 most keys of a user
-- Answer  when it was made (ms); 'missing' where there is no such user, 'too_many' where he has too many keys
local id, user = ARGV[1], ARGV[2]
if redis.call('EXISTS', user_key(user)) == 0 then return 'missing' end
for _, other in ipairs(redis.call('SMEMBERS', user_keys_key(user))) do
  if redis.call('EXISTS', api_key_key(other)) == 0 then redis.call('SREM', user_keys_key(user), other) end
end
if redis.call('SCARD', user_keys_key(user)) >= tonumber(ARGV[7]) then return 'too_many' end
local at = number_text(now_ms())
redis.call('HSET', api_key_key(id), 'user', user, 'name', ARGV[3], 'role', ARGV[4], 'digest', ARGV[5], 'created', at)
if ARGV[6] ~= '' then
  redis.call('HSET', api_key_key(id), 'expires', ARGV[6])
  redis.call('PEXPIREAT', api_key_key(id), ARGV[6])
end
redis.call('SADD', user_keys_key(user), id)
return at
