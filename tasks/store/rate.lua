#!lua flags=allow-oom
-- Counts a request against several limits at once, each a leaky bucket (the generic cell rate algorithm); a request that one of
-- them refuses counts for none.
-- KEYS[1] prefix
-- ARGV    groups of three: name of the bucket, requests, in so many ms
-- Answer  1 where it may go on, else 0; ms to wait; then of the fullest bucket: its number, how many are left, ms until it is empty
local prefix = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local wait, fullest, least, reset = 0, 1, math.huge, 0
local later = {}
for i = 1, #ARGV, 3 do
  local most, period = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local cost = period / most
  local full = tonumber(redis.call('GET', prefix .. 'rate:' .. ARGV[i]) or '0')
  local after = math.max(full, now) + cost
  local over = after - now - period
  if over > 0.001 then wait = math.max(wait, over) end
  local left = math.max(0, math.floor((period - (after - now)) / cost + 0.001))
  if left < least then fullest, least, reset = (i + 2) / 3, left, after - now end
  later[#later + 1] = { ARGV[i], after }
end
if wait > 0 then return { 0, math.ceil(wait), fullest, 0, math.ceil(reset) } end
for _, bucket in ipairs(later) do
  redis.call('SET', prefix .. 'rate:' .. bucket[1], string.format('%.3f', bucket[2]), 'PX', math.ceil(bucket[2] - now) + 1)
end
return { 1, 0, fullest, least, math.ceil(reset) }
