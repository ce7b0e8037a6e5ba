#!lua flags=no-writes
-- Deliveries of one task, of its newest run first.
-- KEYS[1] prefix
-- ARGV    1 task id  2 begin below this number of a run ('' for the newest)  3 at most so many
-- Answer  how many there are, the number to go on below ('' at the end), and for each: run id, status of the run and when
--         it ended (ms), the fields of the delivery, its tries (JSON each); nothing where there is no such task.
local id, most = ARGV[1], tonumber(ARGV[3])
if redis.call('EXISTS', task_key(id)) == 0 then return false end
local top = ARGV[2] == '' and '+inf' or '(' .. ARGV[2]
local numbers = redis.call('ZREVRANGEBYSCORE', callbacks_key(id), top, '-inf', 'LIMIT', 0, most + 1)
local found = {}
for place, number in ipairs(numbers) do
  if place > most then break end
  local run_id = id .. '.' .. number
  local status, finished = unpack(redis.call('HMGET', run_key(run_id), 'status', 'finished'))
  found[place] = { run_id, status, finished, redis.call('HGETALL', callback_key(run_id)),
    redis.call('LRANGE', tries_key(run_id), 0, -1) }
end
return { redis.call('ZCARD', callbacks_key(id)), #numbers > most and numbers[most] or '', found }
