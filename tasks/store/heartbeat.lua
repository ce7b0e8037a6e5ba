#!lua flags=allow-oom
-- A worker says that it lives, extends the leases of its runs, and learns which of them it must end.
-- KEYS[1] prefix
-- ARGV    1 worker id  2 lease (ms)  3 counts as gone after (ms)  4 what it says of itself (JSON)
--         5 how many more of each kind fit (JSON object)  6 runs of one owner that may go at once ('' for any number)
--         7… run id and attempt, in turn
-- Answer  run ids to stop; each `run id attempt` that is no longer this worker's; as many waiting runs as fit;
--         1 where a callback is due, else 0
local worker, lease = ARGV[1], tonumber(ARGV[2])
local at = now_ms()
redis.call('ZADD', WORKERS, at + tonumber(ARGV[3]), worker)
redis.call('SET', worker_key(worker), ARGV[4], 'PX', ARGV[3])
local stops, lost, waiting = {}, {}, {}
for i = 7, #ARGV, 2 do
  local run_id = ARGV[i]
  local status, owner, attempt = unpack(redis.call('HMGET', run_key(run_id), 'status', 'worker', 'attempt'))
  if owner ~= worker or attempt ~= ARGV[i + 1] or (status ~= 'running' and status ~= 'stopping') then
    lost[#lost + 1] = run_id .. ' ' .. ARGV[i + 1]
  else
    redis.call('ZADD', LEASES, at + lease, run_id)
    if status == 'stopping' then stops[#stops + 1] = run_id end
  end
end
-- Whoever of those held back could go: the quota may be a larger one now, and every end of a run lets in others by itself.
local room, behind = cjson.decode(ARGV[5]), {}
for _, owner in ipairs(redis.call('SRANDMEMBER', HELD, 20)) do
  local places = ARGV[6] == '' and 100 or tonumber(ARGV[6]) - redis.call('SCARD', running_key(owner))
  if places > 0 then behind[#behind + 1] = owner end
  for _ = 1, owner == NOBODY and math.min(places, 100) or math.min(places, 1) do let_in(owner) end
end
for kind, many in pairs(room) do
  for _, run_id in ipairs(redis.call('ZRANGE', queued_key(kind), 0, many - 1)) do
    waiting[#waiting + 1] = run_id
    many = many - 1
  end
  for _, owner in ipairs(behind) do
    for _, run_id in ipairs(many > 0 and redis.call('ZRANGE', held_key(owner, kind), 0, many - 1) or {}) do
      waiting[#waiting + 1] = run_id
      many = many - 1
    end
  end
end
return { stops, lost, waiting, #redis.call('ZRANGEBYSCORE', CALLBACKS, '-inf', at, 'LIMIT', 0, 1) }
