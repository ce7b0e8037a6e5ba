#!lua flags=no-writes
-- Names scheduled tasks that are going to be due, so that what follows can be worked out ahead.
-- KEYS[1] prefix
-- ARGV    1 after this due time (ms)  2 until this one  3 leave out so many  4 at most so many at once
-- Answer  for each: id, its due time, status, about (JSON)
local found = {}
local members = redis.call('ZRANGEBYSCORE', DUE, '(' .. ARGV[1], ARGV[2], 'WITHSCORES', 'LIMIT', ARGV[3], ARGV[4])
for i = 1, #members, 2 do
  local about = about_of(members[i])
  if about then found[#found + 1] = { members[i], number_text(members[i + 1]), task_field(members[i], 'status'), about } end
end
return found
