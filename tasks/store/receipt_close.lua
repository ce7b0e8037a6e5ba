#!lua
-- Keeps the answer to the request that opened a receipt, or forgets the receipt of a request that had no effect.
-- KEYS[1] prefix
-- ARGV    1 receipt  2 token that opened it  3 answer, '' to forget it  4 owner
-- Answer  1 where it was the caller's, else 0
local key = receipt_key(ARGV[1])
if redis.call('HGET', key, 'token') ~= ARGV[2] then return 0 end
if ARGV[3] == '' then redis.call('DEL', key) else keep_answer(ARGV[1], ARGV[4], ARGV[3], now_ms()) end
return 1
