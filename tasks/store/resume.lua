#!lua
-- Lets a paused task fire again, and records what it missed since Beat looked last.
-- KEYS[1] prefix
-- ARGV    1 task id  2 the due time it was seen with (ms)  3 next due time (ms, '' for never)  4 due times to skip (JSON)
--         5 where many more were skipped: how many, else 0
-- Answer  nothing where there is no such task; else its type, its status before and now: unchanged where the due time
--         was another by now.
local id = ARGV[1]
local was, kind_of_task = unpack(redis.call('HMGET', task_key(id), 'status', 'type'))
if not was then return false end
local due = redis.call('ZSCORE', DUE, id)
if was == 'paused' and due and number_text(due) == ARGV[2] then
  local at = now_ms()
  redis.call('HINCRBY', task_key(id), 'rev', 1)
  move_task(id, 'scheduled', nil, at)
  skip_occurrences(id, cjson.decode(ARGV[4]), 'paused', tonumber(ARGV[5]), at)
  advance(id, ARGV[3], 'schedule_ended', at)
  trim_runs(id)
  mark_ended(id, at)
end
return { kind_of_task, was, task_field(id, 'status') }
