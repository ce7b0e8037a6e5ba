-- Deliveries of the news that a run ended: who is owed one, and when.

-- Puts a member of `set` to where the first member of its own set stands, or takes it out where that is empty.
local function sort_by_first(set, member)
  local first = redis.call('ZRANGE', receiver_key(member), 0, 0, 'WITHSCORES')
  if first[2] then redis.call('ZADD', set, first[2], member) else redis.call('ZREM', set, member) end
end

-- Puts a receiver among those of its owner, and the owner among the others, by the first of their deliveries.
local function sort_receiver(receiver)
  local owner = string.match(receiver, '^%S+')
  sort_by_first(receiver_key(owner), receiver)
  sort_by_first(CALLBACKS, owner)
end

-- Lets the delivery of a run be due at a moment; its claim ends with that.
local function set_delivery(run_id, receiver, at)
  redis.call('HSET', callback_key(run_id), 'due', number_text(at))
  redis.call('HDEL', callback_key(run_id), 'since')
  redis.call('ZADD', receiver_key(receiver), at, run_id)
  sort_receiver(receiver)
end

-- Ends a delivery, as `delivered` or `failed`.
local function end_delivery(run_id, receiver, state, reason)
  redis.call('HSET', callback_key(run_id), 'state', state, 'reason', reason)
  redis.call('HDEL', callback_key(run_id), 'due', 'since')
  redis.call('ZREM', receiver_key(receiver), run_id)
  sort_receiver(receiver)
  redis.call('HINCRBY', COUNTERS, 'callbacks:' .. state, 1)
end

-- Notes that the end of a run is to be told, where its task has a callback for a run that ends like this. The task's
-- field is its events, separated by commas, and the origin that the callback goes to.
local function owe_callback(callback, run_id, status, at)
  local events, origin = string.match(callback, '^(%S+) (%S+)$')
  if not string.find(',' .. events .. ',', ',' .. status .. ',', 1, true) then return end
  local task_id, number = task_of(run_id), string.match(run_id, '%d+$')
  local receiver = owner_of(task_id) .. ' ' .. origin
  redis.call('HSET', callback_key(run_id), 'state', 'waiting', 'receiver', receiver, 'tries', 0, 'first', 0)
  redis.call('ZADD', callbacks_key(task_id), number, number)
  set_delivery(run_id, receiver, at)
end

local function is_owed(run_id) return redis.call('HGET', callback_key(run_id), 'state') == 'waiting' end
