#!lua flags=allow-oom
-- A worker that has given everything back takes itself off the list.
-- KEYS[1] prefix
-- ARGV    1 worker id
-- Answer  nothing
redis.call('ZREM', WORKERS, ARGV[1])
redis.call('DEL', worker_key(ARGV[1]), calls_key(ARGV[1]))
return false
