#!lua flags=no-writes
-- The API keys of a user.
-- KEYS[1] prefix
-- ARGV    1 user
-- Answer  for each key: id, fields
local found = {}
for _, id in ipairs(redis.call('SMEMBERS', user_keys_key(ARGV[1]))) do
  local fields = redis.call('HGETALL', api_key_key(id))
  if #fields > 0 then found[#found + 1] = { id, fields } end
end
return found
