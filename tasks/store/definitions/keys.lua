-- Every script starts with these definitions, in the order of scripts.py: first the keys, the clock and how records are read.
-- KEYS[1]  the prefix of all keys; it holds the hash tag, so that they share one slot of a cluster.
-- STATUSES, TYPES, RUN_MOVES, SCHEDULE_MOVES, FINISHED, ENDED and BUCKETS are rendered in front of this text (scripts.py).
--
--   task:{id}            hash    status type kind prio owner tags created updated due runs fired missed rev reason
--                                callback …;
--                                no `prio` is normal, no `owner` is anonymous
--   task:{id}:body       JSON    name, timing, timeout, retry, expires_in, tags ("about"); a line break; then JSON of the
--                                kind's own fields ("spec"): one key for both, since each costs a hundred bytes
--   task:{id}:active     set     ids of unfinished runs (scheduled tasks only)
--   task:{id}:waiting    list    ids of runs that wait for the one before (overlap: queue)
--   task:{id}:ran        sorted set   numbers of the runs that are kept, skipped ones apart, so that neither crowd out
--   task:{id}:skipped    sorted set   the others (scheduled tasks only; any other has one run at the most)
--   task:{id}:callbacks  sorted set   numbers of the runs that have a delivery
--   run:{id}             hash    status due queued started finished worker attempt losses reason
--   run:{id}:outcome     JSON    result, error, stdout, stderr, output_truncated, usage
--   run:{id}:stdout, run:{id}:stderr   string   what the attempt in progress has printed; then run:{id}:outcome has it
--   run:{id}:attempts    list    JSON, one for each ended attempt but the last
--   run:{id}:callback    hash    state receiver tries first due since reason: the delivery of the news that it ended
--   run:{id}:tries       list    JSON, one for each try of that delivery that is over
--   tasks:in:{status}:{type}:{kind}, tasks:owner:…, tasks:tag:…   sorted sets by id, which is by time; a task is in one
--                                of the first sort, and all of these together are all tasks
--   kinds                set     every kind that a task ever had
--   owner:{name}:schedules   set   ids of scheduled tasks that have not ended
--   owner:{name}:running     set   run ids that workers have, where there is a quota of them
--   owner:{name}:next:{kind} string   the one run of a named owner in queued:{kind}: owners take turns there
--   owner:{name}:held        set   kinds of which runs are held back
--   owner:{name}:held:{kind} sorted set   his other queued runs, behind that one: high priority first, then oldest first
--   held                 set   owners of whom runs are held back
--   due                  sorted set   run id or id of a scheduled task, by due time
--   queued:{kind}        sorted set   run ids, high priority first, then oldest first; those of named owners in turn
--   callbacks            sorted set   owners by the time at which the first of their deliveries is due
--   callbacks:{owner}    sorted set   receivers (owner, space, origin) likewise
--   callbacks:{receiver} sorted set   run ids by the time at which their delivery is due, or its claim ends
--   callback_secrets     hash    owner → generation of his signing secret, since when (ms)
--   leases               sorted set   run ids by the end of their lease
--   ended                sorted set   minutes since 1970 in which tasks ended that will never run again
--   ended:{minute}       list    ids of those tasks, by their end, which is when they were updated last
--   workers              sorted set   worker ids by the time at which they count as gone
--   worker:{id}          JSON    what the worker says of itself
--   worker:{id}:calls    list    run ids that the worker must stop
--   receipt:{hash}       hash    fingerprint token ends answer run, for a day
--   owner:{name}:answers:{hour} string   bytes of the answers that receipts of a named owner began to keep in one hour since
--                                1970, for a day
--   counters             hash    what happened so often since the first task: submitted:{type}:{kind},
--                                ended:{kind}:{status}, callbacks:{state or tries}, {delay or duration}:{kind}:{bucket or ms}
--   counters:{minute}    hash    submitted and ended:{status} in one minute since 1970, for an hour
--   events:{id}          channel   something about a task changed
--   beat, wake           string and list   when a beat last ticked; wakes it for an earlier due time
local PREFIX = KEYS[1]
local HIGH_FIRST = 1000000000000000
local MOST_WAITING = 100
local MOST_OWED = 1000
local CALL_SECONDS = 60
local COUNTED_SECONDS = 3700
local HOLD_AT_ONCE = 100
local AWAY = 10000
local NOBODY = 'anonymous'

local function number_text(value) return string.format('%.0f', value) end
local function task_key(id) return PREFIX .. 'task:' .. id end
local function body_key(id) return PREFIX .. 'task:' .. id .. ':body' end
local function active_key(id) return PREFIX .. 'task:' .. id .. ':active' end
local function waiting_key(id) return PREFIX .. 'task:' .. id .. ':waiting' end
local function ran_key(id) return PREFIX .. 'task:' .. id .. ':ran' end
local function skipped_key(id) return PREFIX .. 'task:' .. id .. ':skipped' end
local function run_key(id) return PREFIX .. 'run:' .. id end
local function outcome_key(id) return PREFIX .. 'run:' .. id .. ':outcome' end
local function stdout_key(id) return PREFIX .. 'run:' .. id .. ':stdout' end
local function stderr_key(id) return PREFIX .. 'run:' .. id .. ':stderr' end
local function attempts_key(id) return PREFIX .. 'run:' .. id .. ':attempts' end
local function callback_key(run_id) return PREFIX .. 'run:' .. run_id .. ':callback' end
local function tries_key(run_id) return PREFIX .. 'run:' .. run_id .. ':tries' end
local function callbacks_key(id) return PREFIX .. 'task:' .. id .. ':callbacks' end
local function receiver_key(receiver) return PREFIX .. 'callbacks:' .. receiver end
local function queued_key(kind) return PREFIX .. 'queued:' .. kind end
local function worker_key(id) return PREFIX .. 'worker:' .. id end
local function calls_key(id) return PREFIX .. 'worker:' .. id .. ':calls' end
local function schedules_key(owner) return PREFIX .. 'owner:' .. owner .. ':schedules' end
local function running_key(owner) return PREFIX .. 'owner:' .. owner .. ':running' end
local function next_key(owner, kind) return PREFIX .. 'owner:' .. owner .. ':next:' .. kind end
local function held_kinds_key(owner) return PREFIX .. 'owner:' .. owner .. ':held' end
local function held_key(owner, kind) return PREFIX .. 'owner:' .. owner .. ':held:' .. kind end
local function index_key(name, value) return PREFIX .. 'tasks:' .. name .. ':' .. value end
local function receipt_key(hash) return PREFIX .. 'receipt:' .. hash end
local function group_key(status, kind_of_task, kind)
  return PREFIX .. 'tasks:in:' .. status .. ':' .. kind_of_task .. ':' .. kind
end
local KINDS = PREFIX .. 'kinds'
local DUE = PREFIX .. 'due'
local LEASES = PREFIX .. 'leases'
local CALLBACKS = PREFIX .. 'callbacks'
local HELD = PREFIX .. 'held'
local ENDINGS = PREFIX .. 'ended'
local function ended_key(minute) return ENDINGS .. ':' .. number_text(minute) end
local WORKERS = PREFIX .. 'workers'
local BEAT = PREFIX .. 'beat'
local WAKE = PREFIX .. 'wake'
local COUNTERS = PREFIX .. 'counters'
local function minute_key(minute) return COUNTERS .. ':' .. number_text(minute) end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function task_of(run_id) return string.match(run_id, '^(.*)%.%d+$') end

local function run_id_of(task_id, number) return task_id .. '.' .. number_text(number) end

local function task_field(id, name) return redis.call('HGET', task_key(id), name) end

-- Whose task it is.
local function owner_of(id) return task_field(id, 'owner') or NOBODY end

local function run_field(id, name) return redis.call('HGET', run_key(id), name) end

-- What goes into task:{id}:body.
local function set_body(id, about, spec) redis.call('SET', body_key(id), about .. '\n' .. spec) end

-- About and spec of a task; nothing where there is no such task.
local function body_of(id)
  local body = redis.call('GET', body_key(id))
  if not body then return nil end
  local stop = string.find(body, '\n', 1, true)
  return string.sub(body, 1, stop - 1), string.sub(body, stop + 1)
end

-- About alone, without reading a long spec; nothing where there is no such task.
local function about_of(id)
  local size = 512
  while true do
    local head = redis.call('GETRANGE', body_key(id), 0, size - 1)
    local stop = string.find(head, '\n', 1, true)
    if stop then return string.sub(head, 1, stop - 1) end
    if #head < size then return nil end
    size = size * 8
  end
end
