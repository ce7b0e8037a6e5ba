#!lua
-- Keeps what a run has printed so far, while its worker still owns it.
-- KEYS[1] prefix
-- ARGV    1 run id  2 worker id  3 attempt  then for stdout and for stderr: bytes before this piece, the piece
-- Answer  1 where it is kept, 0 where the run is no longer this worker's. Keeping the same piece again changes nothing.
local run_id = ARGV[1]
local was, owner, current = unpack(redis.call('HMGET', run_key(run_id), 'status', 'worker', 'attempt'))
if owner ~= ARGV[2] or current ~= ARGV[3] or (was ~= 'running' and was ~= 'stopping') then return 0 end
if ARGV[5] ~= '' then redis.call('SETRANGE', stdout_key(run_id), ARGV[4], ARGV[5]) end
if ARGV[7] ~= '' then redis.call('SETRANGE', stderr_key(run_id), ARGV[6], ARGV[7]) end
tell(task_of(run_id))
return 1
