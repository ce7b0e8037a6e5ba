#!lua flags=no-writes
-- What is there, and what happened so far and in the last minutes.
-- KEYS[1] prefix
-- ARGV    1 minutes to look back, the current one with them  2… every status of tasks
-- Answer  now (ms), how many tasks in all, the earliest due time (ms, '' for none), how many tasks for each status in
--         turn, the counters, and the counters of each of those minutes, the current one first
local at = now_ms()
local minute = math.floor(at / 60000)
local tasks, minutes = {}, {}
local kinds, total = redis.call('SMEMBERS', KINDS), 0
for i = 2, #ARGV do
  local _, size = groups(kinds, ARGV[i], '')
  tasks[i - 1], total = size, total + size
end
for i = 1, tonumber(ARGV[1]) do minutes[i] = redis.call('HGETALL', minute_key(minute - i + 1)) end
local first = redis.call('ZRANGE', DUE, 0, 0, 'WITHSCORES')[2] or ''
return { number_text(at), total, first, tasks, redis.call('HGETALL', COUNTERS), minutes }
