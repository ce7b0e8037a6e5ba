#!lua
-- Queues delayed and retried runs whose time has come, and names the scheduled tasks whose time has come.
-- KEYS[1] prefix
-- ARGV    1 at most so many at once
-- Answer  now (ms), the next due time (ms, '' for none), ids of runs now queued, and for each scheduled task:
--         id, its due time, status, about (JSON)
local at = now_ms()
local queued, schedules = {}, {}
local members = redis.call('ZRANGEBYSCORE', DUE, '-inf', at, 'WITHSCORES', 'LIMIT', 0, tonumber(ARGV[1]))
for i = 1, #members, 2 do
  local member, due = members[i], members[i + 1]
  if task_of(member) then
    redis.call('ZREM', DUE, member)
    local status = run_field(member, 'status')
    if status == 'scheduled' or status == 'retrying' then
      local task = task_key(task_of(member))
      if redis.call('HGET', task, 'type') ~= 'scheduled' then redis.call('HDEL', task, 'due') end
      move_run(member, 'queued', at)
      queued[#queued + 1] = member
    end
  else
    local about = about_of(member)
    if about then
      schedules[#schedules + 1] = { member, number_text(due), task_field(member, 'status'), about }
    else
      redis.call('ZREM', DUE, member)
    end
  end
end
local following = redis.call('ZRANGE', DUE, 0, 0, 'WITHSCORES')
return { number_text(at), following[2] and number_text(following[2]) or '', queued, schedules }
