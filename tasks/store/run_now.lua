#!lua
-- Starts a run at once: a further one of a scheduled task, whose schedule stays as it is, or the waiting one of another.
-- KEYS[1] prefix
-- ARGV    1 task id  2 overlap, '' for tasks that are not scheduled  3 a word of its own for each request
--         4 receipt of the request, '' for none
-- Answer  nothing where there is no such task; else its status, and the run's id and status, '' where it has none that
--         may start: the status does not allow it, or a run is in progress and the overlap does not. The same request
--         again (its answer was lost, or its receipt names the run) starts nothing and answers the same run.
local id, overlap, request, receipt = ARGV[1], ARGV[2], ARGV[3], receipt_key(ARGV[4] or '')
local status, kind_of_task, last, started = unpack(redis.call('HMGET', task_key(id), 'status', 'type', 'asked', 'asked_run'))
if not status then return false end
local done = redis.call('HGET', receipt, 'run')
if done then return { status, done, run_field(done, 'status') or '' } end
if last == request then return { status, started, run_field(started, 'status') or '' } end
local at = now_ms()
local run_id = ''
if kind_of_task ~= 'scheduled' then
  if status == 'scheduled' or status == 'retrying' then
    run_id = run_id_of(id, 1)
    redis.call('ZREM', DUE, run_id)
    redis.call('HDEL', task_key(id), 'due')
    if status == 'scheduled' then redis.call('HSET', run_key(run_id), 'due', number_text(at)) end
    move_run(run_id, 'queued', at)
  end
elseif status == 'scheduled' or status == 'paused' then
  local busy = redis.call('SCARD', active_key(id)) > 0
  if not busy or overlap == 'allow' then
    run_id = create_run(id, at, 'queued', at)
  elseif overlap == 'queue' and redis.call('LLEN', waiting_key(id)) < MOST_WAITING then
    run_id = create_run(id, at, 'scheduled', at)
    redis.call('RPUSH', waiting_key(id), run_id)
  end
  if run_id ~= '' then
    redis.call('HSET', task_key(id), 'updated', number_text(at))
    trim_runs(id)
  end
end
if run_id ~= '' then
  redis.call('HSET', task_key(id), 'asked', request, 'asked_run', run_id)
  if redis.call('EXISTS', receipt) == 1 then redis.call('HSET', receipt, 'run', run_id) end
end
return { status, run_id, run_id ~= '' and run_field(run_id, 'status') or '' }
