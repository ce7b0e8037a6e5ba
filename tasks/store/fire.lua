#!lua
-- Makes the runs of scheduled tasks that are due and advances them, each unless somebody else already did.
-- KEYS[1] prefix
-- ARGV    one JSON array for each: task id, the due time and the status it was seen with, next due time (text, '' for
--         never), overlap, runs in all (max_runs, 0 for no limit), due times to run, due times to skip, the reason of
--         the skips, where many more were skipped: how many
-- Answer  for each: ids of the runs now queued; nothing where the due time had been taken already.
local at = now_ms()

local function full(id, most) return most > 0 and tonumber(task_field(id, 'fired')) >= most end

-- One occurrence, by what `overlap` says of a run that is still in progress.
local function start(id, due, overlap, queued)
  local busy = redis.call('SCARD', active_key(id)) > 0
  if busy and overlap ~= 'allow' then
    if overlap == 'skip' or redis.call('LLEN', waiting_key(id)) >= MOST_WAITING then
      create_run(id, due, 'skipped', at, 'overlap')
      return
    end
    redis.call('RPUSH', waiting_key(id), create_run(id, due, 'scheduled', at))
  else
    queued[#queued + 1] = create_run(id, due, 'queued', at)
  end
  redis.call('HINCRBY', task_key(id), 'fired', 1)
end

local function fire(id, seen_due, seen_status, next_due, overlap, most, run, skip, reason, more)
  local due = redis.call('ZSCORE', DUE, id)
  if not due or number_text(due) ~= seen_due or task_field(id, 'status') ~= seen_status then return {} end
  local queued = {}
  skip_occurrences(id, skip, reason, more, at)
  for _, moment in ipairs(run) do
    if not full(id, most) then start(id, moment, overlap, queued) end
  end
  advance(id, full(id, most) and '' or next_due, full(id, most) and 'max_runs' or 'schedule_ended', at)
  trim_runs(id)
  mark_ended(id, at)
  return queued
end

local answer = {}
for i = 1, #ARGV do answer[i] = fire(unpack(cjson.decode(ARGV[i]))) end
return answer
