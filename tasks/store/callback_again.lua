#!lua
-- Delivers the news of a run at once, also where that was done or given up, with as many tries as at first.
-- KEYS[1] prefix
-- ARGV    1 run id
-- Answer  nothing where the run has no delivery, 'none' where its task has no callback any more, else 'due'; one that is
--         being tried goes on.
local run_id = ARGV[1]
local state, receiver, tries, since = unpack(redis.call('HMGET', callback_key(run_id), 'state', 'receiver', 'tries', 'since'))
if not state then return false end
if not task_field(task_of(run_id), 'callback') then return 'none' end
if since then return 'due' end
redis.call('HSET', callback_key(run_id), 'state', 'waiting', 'first', tries)
redis.call('HDEL', callback_key(run_id), 'reason')
set_delivery(run_id, receiver, now_ms())
return 'due'
