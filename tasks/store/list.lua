#!lua flags=no-writes
-- A page of tasks, newest first, from the smallest of the indexes that the filters name.
-- KEYS[1] prefix
-- ARGV    1 begin below this bound and 2 end at this bound (as ZREVRANGEBYLEX has them)  3 at most so many
--         4 look at so many at the most  5 text that the name must hold, in lower case, '' for any
--         6 the bound below which the first page begins, for the total  7… pairs of index name and value
-- Answer  the id to go on below ('' at the end), how many match in all ('' where that is not cheap to tell),
--         and for each task: id, fields, about (JSON)
local upper, lower, most, looks, text = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local top = ARGV[6]
local CHUNK, COUNTABLE = 200, 20000
local indexes = {}
for i = 7, #ARGV, 2 do indexes[#indexes + 1] = index_key(ARGV[i], ARGV[i + 1]) end
if #indexes == 0 then indexes[1] = TASKS end
table.sort(indexes, function(a, b) return redis.call('ZCARD', a) < redis.call('ZCARD', b) end)

local function matches(id)
  for i = 2, #indexes do
    if not redis.call('ZSCORE', indexes[i], id) then return false end
  end
  return true
end

local function total()
  if text ~= '' then return '' end
  if #indexes == 1 then return number_text(redis.call('ZLEXCOUNT', indexes[1], lower, top)) end
  if redis.call('ZCARD', indexes[1]) > COUNTABLE then return '' end
  local count = 0
  for _, id in ipairs(redis.call('ZRANGEBYLEX', indexes[1], lower, top)) do
    if matches(id) then count = count + 1 end
  end
  return number_text(count)
end

local found, last, looked = {}, '', 0
local bound = upper
while #found < most and looked < looks do
  local ids = redis.call('ZREVRANGEBYLEX', indexes[1], bound, lower, 'LIMIT', 0, math.min(CHUNK, looks - looked))
  if #ids == 0 then last = '' break end
  for _, id in ipairs(ids) do
    last, looked = id, looked + 1
    if matches(id) then
      local about = redis.call('GET', about_key(id))
      local fits = text == '' or string.find(string.lower(cjson.decode(about).name), text, 1, true)
      if fits then found[#found + 1] = { id, redis.call('HGETALL', task_key(id)), about } end
      if #found == most then break end
    end
  end
  bound = '(' .. last
end
if last ~= '' and #redis.call('ZREVRANGEBYLEX', indexes[1], '(' .. last, lower, 'LIMIT', 0, 1) == 0 then last = '' end
return { last, total(), found }
