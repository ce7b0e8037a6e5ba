#!lua flags=no-writes
-- Runs of one task, newest first.
-- KEYS[1] prefix
-- ARGV    1 task id  2 begin below this number ('' for the newest)  3 at most so many  4 status ('' for all)
-- Answer  how many are kept, the number to go on below ('' at the end), and each run as run_answer has it, but for the
--         first only as long as all of them take no more than MOST_BYTES; nothing where there is no such task.
local id, below, most, wanted = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local kind_of_task, runs = unpack(redis.call('HMGET', task_key(id), 'type', 'runs'))
if not runs then return false end
below = below == '' and tonumber(runs) + 1 or tonumber(below)
local CHUNK = 100
local MOST_BYTES = 1048576

-- What run_answer would read of a run, without reading it.
local function bytes_of(run_id)
  local outcome = redis.call('STRLEN', outcome_key(run_id))
  if outcome > 0 then return outcome end
  return redis.call('STRLEN', stdout_key(run_id)) + redis.call('STRLEN', stderr_key(run_id))
end

-- Numbers below `bound`, the highest first, out of both sets, so many of each at the most.
local function numbers(bound, many)
  if kind_of_task ~= 'scheduled' then return bound > 1 and runs ~= '0' and { 1 } or {} end
  local found = {}
  for _, rows in ipairs({ ran_key(id), skipped_key(id) }) do
    for _, number in ipairs(redis.call('ZREVRANGEBYSCORE', rows, '(' .. number_text(bound), '-inf', 'LIMIT', 0, many)) do
      found[#found + 1] = tonumber(number)
    end
  end
  table.sort(found, function(a, b) return a > b end)
  for i = many + 1, #found do found[i] = nil end
  return found
end

local function kept()
  if kind_of_task ~= 'scheduled' then return tonumber(runs) end
  return redis.call('ZCARD', ran_key(id)) + redis.call('ZCARD', skipped_key(id))
end

local found, room = {}, MOST_BYTES
local page = numbers(below, CHUNK)
while #page > 0 and #found < most do
  for _, number in ipairs(page) do
    if #found == most then break end
    local run_id = run_id_of(id, number)
    local status = run_field(run_id, 'status')
    if status and (wanted == '' or wanted == status) then
      room = room - bytes_of(run_id)
      if room < 0 and #found > 0 then
        most = #found
        break
      end
      found[#found + 1] = run_answer(run_id)
    end
    below = number
  end
  page = numbers(below, CHUNK)
end
return { kept(), #page > 0 and number_text(below) or '', found }
