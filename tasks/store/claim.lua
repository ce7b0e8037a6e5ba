#!lua
-- Takes a queued run for a worker: the one a bell was rung for, or the first that waits.
-- KEYS[1] prefix
-- ARGV    1 worker id  2 lease (ms)  3 run id, or '' for whichever waits first
--         4 runs of one owner that may go at once ('' for any number)  5… kinds for which there is room
-- Answer  run id, kind, attempt, started (ms), about (JSON), spec (JSON); 'no_room' where only room is lacking;
--         nothing where the run is not to be had (taken, stopped, deleted, expired). Where it is held back because its
--         owner has enough going, the first that is to be had of its kind is taken instead.
local worker, lease, run_id, most = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
if run_id == '' then
  for i = 5, #ARGV do
    local claimed = claim_next(ARGV[i], worker, lease, most)
    if claimed then return claimed end
  end
  return false
end
local task_id = task_of(run_id)
local kind = task_id and task_field(task_id, 'kind')
if not kind or run_field(run_id, 'status') ~= 'queued' then return false end
for i = 5, #ARGV do
  if ARGV[i] == kind then
    local claimed = claim(run_id, worker, lease, most)
    if not claimed and run_field(run_id, 'status') == 'queued' then claimed = claim_next(kind, worker, lease, most) end
    return claimed or false
  end
end
return { 'no_room', kind }
