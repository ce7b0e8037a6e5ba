#!lua flags=allow-oom
-- Removes a user with his API keys and his secrets; his sessions find no user any more. The name is not given again.
-- KEYS[1] prefix
-- ARGV    1 name
-- Answer  'deleted', 'missing' or 'last_admin'
local name = ARGV[1]
if redis.call('EXISTS', user_key(name)) == 0 then return 'missing' end
if is_last_admin(name) then return 'last_admin' end
for _, id in ipairs(redis.call('SMEMBERS', user_keys_key(name))) do redis.call('DEL', api_key_key(id)) end
redis.call('DEL', user_key(name), user_keys_key(name), PREFIX .. 'secrets:' .. name)
redis.call('ZREM', USERS, name)
redis.call('SREM', ADMINS, name)
redis.call('SADD', FORMER, name)
return 'deleted'
