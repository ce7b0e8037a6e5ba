#!lua flags=allow-oom
-- Changes a user. A new password and being disabled end all sessions.
-- KEYS[1] prefix
-- ARGV    1 name  2 role, '' to keep  3 password hash, '' to keep  4 disabled: '0', '1', or '' to keep
-- Answer  'changed', 'missing', or 'last_admin' where nobody would be left to manage users
local name, role, password, disabled = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local was_role, was_disabled = unpack(redis.call('HMGET', user_key(name), 'role', 'disabled'))
if not was_role then return 'missing' end
if role == '' then role = was_role end
if disabled == '' then disabled = was_disabled end
local governs = role == 'admin' and disabled == '0'
if not governs and is_last_admin(name) then return 'last_admin' end
redis.call('HSET', user_key(name), 'role', role, 'disabled', disabled, 'updated', number_text(now_ms()))
if password ~= '' then redis.call('HSET', user_key(name), 'password', password) end
if password ~= '' or disabled == '1' then redis.call('HINCRBY', user_key(name), 'epoch', 1) end
redis.call(governs and 'SADD' or 'SREM', ADMINS, name)
return 'changed'
