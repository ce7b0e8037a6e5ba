#!lua flags=allow-oom
-- Takes a delivery that is due, of the owner and the receiver that wait longest and are not busy.
-- KEYS[1] prefix
-- ARGV    1 claimed for (ms)  2 most tries  3 receivers that are busy (JSON object, by name)  4 owners likewise
-- Answer  nothing where there is none; else receiver, number of the try, the same since it was asked for, now (ms), owner, generation
--         of his signing secret and since when (ms, '' where it is the first), type, kind, about (JSON), and the run as
--         run_answer has it. A delivery whose claims all ran out, or whose task has no callback any more, ends here.
local at = now_ms()
local busy, busy_owners = cjson.decode(ARGV[3]), cjson.decode(ARGV[4])

-- Notes the try whose worker never said what came of it.
local function note_lost_try(run_id, tries, since)
  redis.call('RPUSH', tries_key(run_id), cjson.encode({ number = tries, at = tonumber(since), error = 'worker_lost' }))
end

local function claim_delivery(run_id, receiver)
  local tries, first, since = unpack(redis.call('HMGET', callback_key(run_id), 'tries', 'first', 'since'))
  local task_id = task_of(run_id)
  local kind_of_task, kind, callback = unpack(redis.call('HMGET', task_key(task_id), 'type', 'kind', 'callback'))
  if since then note_lost_try(run_id, tonumber(tries), since) end
  if not callback then return end_delivery(run_id, receiver, 'failed', 'callback_removed') end
  if tries - first >= tonumber(ARGV[2]) then return end_delivery(run_id, receiver, 'failed', 'worker_lost') end
  set_delivery(run_id, receiver, at + tonumber(ARGV[1]))
  redis.call('HSET', callback_key(run_id), 'tries', tries + 1, 'since', number_text(at))
  local owner = owner_of(task_id)
  local generation, changed = string.match(redis.call('HGET', PREFIX .. 'callback_secrets', owner) or '1 ', '^(%d+) (%d*)$')
  return { receiver, tries + 1, tries + 1 - first, number_text(at), owner, generation, changed, kind_of_task, kind,
    about_of(task_id), run_answer(run_id) }
end

-- A delivery of one receiver; those that end here are passed over.
local function claim_from(receiver)
  while true do
    local run_id, due = unpack(redis.call('ZRANGE', receiver_key(receiver), 0, 0, 'WITHSCORES'))
    if not run_id or tonumber(due) > at then return nil end
    local claimed = claim_delivery(run_id, receiver)
    if claimed then return claimed end
  end
end

-- Nobody can make this look long: it passes over those that are busy, which are a few, and takes the next.
local function size(names)
  local total = 0
  for _ in pairs(names) do total = total + 1 end
  return total
end
local looks = size(busy) + size(busy_owners) + 1

for _, owner in ipairs(redis.call('ZRANGEBYSCORE', CALLBACKS, '-inf', at, 'LIMIT', 0, looks)) do
  local receivers = busy_owners[owner] and {}
    or redis.call('ZRANGEBYSCORE', receiver_key(owner), '-inf', at, 'LIMIT', 0, looks)
  for _, receiver in ipairs(receivers) do
    local claimed = not busy[receiver] and claim_from(receiver)
    if claimed then return claimed end
  end
end
return false
