#!lua flags=allow-oom
-- Removes tasks that ended longer ago than they are kept, those that ended first first.
-- KEYS[1] prefix
-- ARGV    1 kept for (ms)  2 at most so many at once
-- Answer  how many were removed
local before, most = now_ms() - tonumber(ARGV[1]), tonumber(ARGV[2])
local removed = 0

-- Removes what may go of one minute; whether all of it went.
local function prune(minute)
  for _, id in ipairs(redis.call('LRANGE', ended_key(minute), 0, most - removed - 1)) do
    local updated = task_field(id, 'updated')
    if updated and tonumber(updated) > before then return false end
    if not remove_task(id) then forget_end(id, minute) end
    removed = removed + 1
  end
  return redis.call('EXISTS', ended_key(minute)) == 0
end

while removed < most do
  local first = redis.call('ZRANGE', ENDINGS, 0, 0)[1]
  if not first or not prune(tonumber(first)) then break end
  redis.call('ZREM', ENDINGS, first)
end
return removed
