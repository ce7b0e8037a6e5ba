#!lua flags=no-writes
-- What a reader of a task's events has not seen yet.
-- KEYS[1] prefix
-- ARGV    1 task id  2 number of the run that is followed, 0 for the last one  3 its attempt
--         4 and 5 bytes seen of stdout and stderr in that attempt
-- Answer  nothing where there is no such task; its status, how many runs it had, and where there is a run to follow:
--         its id, fields, outcome (JSON, ''), and of each stream what lies behind those bytes
local id, number = ARGV[1], tonumber(ARGV[2])
local status, kind_of_task, runs = unpack(redis.call('HMGET', task_key(id), 'status', 'type', 'runs'))
if not status then return false end
runs = tonumber(runs)

-- The run itself, or where it is not kept any more the first one after it that is.
local function followed()
  if number == 0 then number = runs end
  if number > runs or number == 0 then return nil end
  if redis.call('EXISTS', run_key(run_id_of(id, number))) == 1 then return run_id_of(id, number) end
  if kind_of_task ~= 'scheduled' then return nil end
  local first
  for _, rows in ipairs({ ran_key(id), skipped_key(id) }) do
    local found = tonumber(redis.call('ZRANGEBYSCORE', rows, number_text(number), '+inf', 'LIMIT', 0, 1)[1])
    if found and (not first or found < first) then first = found end
  end
  return first and run_id_of(id, first)
end

local run_id = followed()
if not run_id then return { status, runs } end
local fields = redis.call('HGETALL', run_key(run_id))
local outcome = redis.call('GET', outcome_key(run_id)) or ''
local same = run_field(run_id, 'attempt') == ARGV[3] and run_id == run_id_of(id, number)
-- Whoever sends bytes that end inside a character gets what begins with the next one.
local function rest(key, seen)
  return (string.gsub(redis.call('GETRANGE', key, same and seen or 0, -1), '^[\128-\191]+', ''))
end
if outcome ~= '' then return { status, runs, run_id, fields, outcome, '', '' } end
return { status, runs, run_id, fields, '', rest(stdout_key(run_id), ARGV[4]), rest(stderr_key(run_id), ARGV[5]) }
