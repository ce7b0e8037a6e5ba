#!lua
-- Replaces what a task that is still to run is made of, if nobody else changed it meanwhile.
-- KEYS[1] prefix
-- ARGV    1 task id  2 revision it was seen with  3 priority  4 about (JSON)  5 spec (JSON)  6 tags (JSON)
--         7 expires (ms after due, '')  8 losses allowed  9 the due time it was seen with (ms, '' where it stays)
--         10 new due time (ms)  11 delay instead of that (ms from now, '')  12 due times to skip (JSON)  13 how many more
--         14 a word of its own for each request  15 callback as submit.lua has it ('' for none)
-- Answer  nothing where there is no such task; else its type and its status, and 1 where it was changed, 0 where its
--         revision or its due time is another by now, or where it has started or ended. The
--         same request again (its answer was lost) changes nothing and answers 1.
local id = ARGV[1]
local fields = redis.call('HMGET', task_key(id), 'status', 'type', 'rev', 'tags', 'edit')
local status, kind_of_task, revision, old_tags, last = unpack(fields)
if not status then return false end
if last == ARGV[14] then return { kind_of_task, status, 1 } end
local open = status == 'scheduled' or (kind_of_task == 'scheduled' and status == 'paused')
local member = kind_of_task == 'scheduled' and id or run_id_of(id, 1)
local due = redis.call('ZSCORE', DUE, member)
if not open or (revision or '1') ~= ARGV[2] or (ARGV[9] ~= '' and (not due or number_text(due) ~= ARGV[9])) then
  return { kind_of_task, status, 0 }
end
local at = now_ms()
redis.call('HSET', task_key(id), 'rev', tonumber(ARGV[2]) + 1, 'prio', ARGV[3], 'losses', ARGV[8],
  'edit', ARGV[14], 'updated', number_text(at))
if ARGV[7] == '' then redis.call('HDEL', task_key(id), 'expires') else redis.call('HSET', task_key(id), 'expires', ARGV[7]) end
if ARGV[15] == '' then redis.call('HDEL', task_key(id), 'callback') else redis.call('HSET', task_key(id), 'callback', ARGV[15]) end
set_body(id, ARGV[4], ARGV[5])
for _, tag in ipairs(old_tags and cjson.decode(old_tags) or {}) do redis.call('ZREM', index_key('tag', tag), id) end
local tags = cjson.decode(ARGV[6])
if #tags > 0 then redis.call('HSET', task_key(id), 'tags', ARGV[6]) else redis.call('HDEL', task_key(id), 'tags') end
for _, tag in ipairs(tags) do redis.call('ZADD', index_key('tag', tag), 0, id) end
if ARGV[9] ~= '' then
  local next_due = ARGV[11] ~= '' and at + tonumber(ARGV[11]) or tonumber(ARGV[10])
  redis.call('ZREM', DUE, member)
  set_due(member, next_due)
  redis.call('HSET', task_key(id), 'due', number_text(next_due))
  if kind_of_task == 'scheduled' then
    skip_occurrences(id, cjson.decode(ARGV[12]), status == 'paused' and 'paused' or 'misfire', tonumber(ARGV[13]), at)
    trim_runs(id)
  else
    redis.call('HSET', run_key(member), 'due', number_text(next_due))
  end
end
return { kind_of_task, status, 1 }
