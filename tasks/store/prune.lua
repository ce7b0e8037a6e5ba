#!lua flags=allow-oom
-- Removes tasks that ended longer ago than they are kept.
-- KEYS[1] prefix
-- ARGV    1 kept for (ms)  2 at most so many at once
-- Answer  how many were removed
local before = now_ms() - tonumber(ARGV[1])
local ids = redis.call('ZRANGEBYSCORE', ENDED_TASKS, '-inf', before, 'LIMIT', 0, tonumber(ARGV[2]))
for _, id in ipairs(ids) do
  if not remove_task(id) then redis.call('ZREM', ENDED_TASKS, id) end
end
return #ids
