-- In front of every script about users, sessions and API keys. KEYS[1] is the prefix of all keys.
--
--   user:{name}        hash    role password disabled epoch created updated
--   user:{name}:keys   set     ids of API keys
--   users              sorted set by name; users:admins: set of admins that are not disabled
--   users:former       set     names that are never given again, for their tasks still bear them
--   session:{id}       hash    user epoch refresh; gone with its refresh token
--   key:{id}           hash    user name role digest created expires used
local PREFIX = KEYS[1]
local USERS = PREFIX .. 'users'
local ADMINS = PREFIX .. 'users:admins'
local FORMER = PREFIX .. 'users:former'
local function user_key(name) return PREFIX .. 'user:' .. name end
local function user_keys_key(name) return PREFIX .. 'user:' .. name .. ':keys' end
local function session_key(id) return PREFIX .. 'session:' .. id end
local function api_key_key(id) return PREFIX .. 'key:' .. id end

local function number_text(value) return string.format('%.0f', value) end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function is_last_admin(name)
  return redis.call('SISMEMBER', ADMINS, name) == 1 and redis.call('SCARD', ADMINS) == 1
end
