#!lua
-- Delivers the news of a run at once, also where that was done or given up, with as many tries as at first.
-- KEYS[1] prefix
-- ARGV    1 run id  2 receipt of the request, '' for none: where it says that this was done, nothing is
-- Answer  nothing where the run has no delivery, 'none' where its task has no callback any more, else 'due'; one that is
--         being tried goes on.
local run_id = ARGV[1]
local state, receiver, tries, since = unpack(redis.call('HMGET', callback_key(run_id), 'state', 'receiver', 'tries', 'since'))
if not state then return false end
if not task_field(task_of(run_id), 'callback') then return 'none' end
local receipt = receipt_key(ARGV[2])
if since or redis.call('HGET', receipt, 'run') then return 'due' end
if redis.call('EXISTS', receipt) == 1 then redis.call('HSET', receipt, 'run', run_id) end
redis.call('HSET', callback_key(run_id), 'state', 'waiting', 'first', tries)
redis.call('HDEL', callback_key(run_id), 'reason')
set_delivery(run_id, receiver, now_ms())
return 'due'
