#!lua flags=no-writes
-- Runs of one task, newest first.
-- KEYS[1] prefix
-- ARGV    1 task id  2 begin below this number ('' for the newest)  3 at most so many  4 status ('' for all)
-- Answer  how many are kept, the number to go on below ('' at the end), and for each run: id, fields, outcome, attempts;
--         nothing where there is no such task.
local id, most, wanted = ARGV[1], tonumber(ARGV[3]), ARGV[4]
local runs, first = unpack(redis.call('HMGET', task_key(id), 'runs', 'first'))
if not runs then return false end
runs, first = tonumber(runs), tonumber(first)
local number = math.min(ARGV[2] == '' and runs or tonumber(ARGV[2]) - 1, runs)
local found = {}
while number >= first and #found < most do
  local run_id = run_id_of(id, number)
  local status = run_field(run_id, 'status')
  if status and (wanted == '' or wanted == status) then
    found[#found + 1] = { run_id, redis.call('HGETALL', run_key(run_id)), redis.call('GET', outcome_key(run_id)) or '',
      redis.call('LRANGE', attempts_key(run_id), 0, -1) }
  end
  number = number - 1
end
return { runs - first + 1, number >= first and number_text(number + 1) or '', found }
