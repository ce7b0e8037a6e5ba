#!lua
-- Opens a receipt for a request that must have one effect however often it is sent.
-- KEYS[1] prefix
-- ARGV    1 receipt  2 fingerprint of the request  3 token of this try  4 lease (ms)  5 kept for (ms)
--         6 owner  7 bytes of answers that may be kept for him ('' for any number)
-- Answer  'opened' and now (ms): do it; 'busy' and ms left: another try is doing it; 'other': the fingerprint is another;
--         'kept' and the first answer: it was done; 'full': no more is kept for this owner now.
local key, token = receipt_key(ARGV[1]), ARGV[3]
local now = now_ms()
local fingerprint, ends, answer = unpack(redis.call('HMGET', key, 'fingerprint', 'ends', 'answer'))
if fingerprint and fingerprint ~= ARGV[2] then return { 'other' } end
if answer then return { 'kept', answer } end
if ends and now < tonumber(ends) then return { 'busy', number_text(tonumber(ends) - now) } end
if ARGV[7] ~= '' and not fingerprint then
  local hours, total = {}, 0
  for i = 0, 24 do hours[i + 1] = answers_key(ARGV[6], math.floor(now / 3600000) - i) end
  for _, bytes in ipairs(redis.call('MGET', unpack(hours))) do total = total + tonumber(bytes or 0) end
  if total > tonumber(ARGV[7]) then return { 'full' } end
end
redis.call('HSET', key, 'fingerprint', ARGV[2], 'token', token, 'ends', number_text(now + tonumber(ARGV[4])))
redis.call('PEXPIRE', key, ARGV[5])
return { 'opened', number_text(now) }
