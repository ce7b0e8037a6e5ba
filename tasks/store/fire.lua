#!lua
-- Makes the runs of a scheduled task that are due and advances it, unless somebody else already did.
-- KEYS[1] prefix
-- ARGV    1 task id  2 the due time it was seen with (ms)  3 next due time (ms, '' for never)  4 overlap
--         5 runs in all (max_runs, '' for no limit)  6 due times to run (JSON)  7 due times to skip (JSON)
--         8 where many more were missed: how many, else 0
-- Answer  ids of the runs now queued; nothing where the due time had been taken already.
local id, overlap, most = ARGV[1], ARGV[4], tonumber(ARGV[5])
local seen = redis.call('ZSCORE', DUE, id)
if not seen or number_text(seen) ~= ARGV[2] or task_field(id, 'status') ~= 'scheduled' then return {} end
local at = now_ms()
local queued = {}
local function full() return most and tonumber(task_field(id, 'fired')) >= most end

local function start(due)
  local busy = redis.call('SCARD', active_key(id)) > 0
  if busy and overlap == 'skip' then
    create_run(id, due, 'skipped', at, 'overlap')
    return
  end
  if busy and overlap == 'queue' then
    if redis.call('LLEN', waiting_key(id)) >= MOST_WAITING then
      create_run(id, due, 'skipped', at, 'overlap')
      return
    end
    redis.call('RPUSH', waiting_key(id), create_run(id, due, 'scheduled', at))
  else
    queued[#queued + 1] = create_run(id, due, 'queued', at)
  end
  redis.call('HINCRBY', task_key(id), 'fired', 1)
end

for _, due in ipairs(cjson.decode(ARGV[7])) do create_run(id, due, 'skipped', at, 'misfire') end
if ARGV[8] ~= '0' then redis.call('HINCRBY', task_key(id), 'missed', ARGV[8]) end
for _, due in ipairs(cjson.decode(ARGV[6])) do
  if not full() then start(due) end
end
if ARGV[3] == '' or full() then
  redis.call('ZREM', DUE, id)
  redis.call('HDEL', task_key(id), 'due')
  move_task(id, 'completed', full() and 'max_runs' or 'schedule_ended', at)
else
  redis.call('ZADD', DUE, ARGV[3], id)
  redis.call('HSET', task_key(id), 'due', ARGV[3], 'updated', number_text(at))
end
trim_runs(id, tonumber(task_field(id, 'history')))
mark_ended(id, at)
return queued
