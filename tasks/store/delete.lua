#!lua flags=allow-oom
-- Removes a task in any status, its runs and its index entries.
-- KEYS[1] prefix
-- ARGV    1 task id
-- Answer  1 where it was there, else 0
return remove_task(ARGV[1]) and 1 or 0
