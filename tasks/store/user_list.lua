#!lua flags=no-writes
-- A page of users by name.
-- KEYS[1] prefix
-- ARGV    1 begin after this name ('' for the first)  2 at most so many
-- Answer  the name to go on after ('' at the end), and for each user: name, fields
local begin = ARGV[1] == '' and '-' or '(' .. ARGV[1]
local most = tonumber(ARGV[2])
local names = redis.call('ZRANGEBYLEX', USERS, begin, '+', 'LIMIT', 0, most + 1)
local found = {}
for i = 1, math.min(most, #names) do found[i] = { names[i], redis.call('HGETALL', user_key(names[i])) } end
return { #names > most and names[most] or '', found }
