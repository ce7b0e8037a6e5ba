#!lua flags=allow-oom
-- Notes that a beat lives; the first after a while in which none did spares the leases that ran out meanwhile.
-- KEYS[1] prefix
-- ARGV    none
-- Answer  nothing
local at = now_ms()
spare_leases(at)
redis.call('SET', BEAT, number_text(at))
return false
