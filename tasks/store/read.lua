#!lua flags=no-writes
-- One task with its last run, as of one moment.
-- KEYS[1] prefix
-- ARGV    1 task id
-- Answer  task fields, about (JSON), spec (JSON), and the last run as run_answer has it;
--         nothing where there is no such task.
local id = ARGV[1]
local fields = redis.call('HGETALL', task_key(id))
if #fields == 0 then return false end
local answer = { fields, body_of(id) }
local runs = tonumber(task_field(id, 'runs'))
if runs > 0 then
  answer[4] = run_answer(run_id_of(id, runs))
end
return answer
