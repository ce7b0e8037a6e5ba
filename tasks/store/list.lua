#!lua flags=no-writes
-- A page of tasks, newest first, from the smallest of the indexes that the filters name.
-- KEYS[1] prefix
-- ARGV    1 begin below this bound and 2 end at this bound (as ZREVRANGEBYLEX has them)  3 at most so many
--         4 look at so many at the most  5 text that the name must hold, in lower case, '' for any
--         6 the bound below which the first page begins, for the total  7… pairs of filter (status, type, kind, owner,
--         tag) and value
-- Answer  the id to go on below ('' at the end), how many match in all ('' where that is not cheap to tell),
--         and for each task: id, fields, about (JSON)
local upper, lower, most, looks, text = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local top = ARGV[6]
local CHUNK, COUNTABLE = 100, 20000
local wanted, indexes = {}, {}
for i = 7, #ARGV, 2 do
  local name, value = ARGV[i], ARGV[i + 1]
  if name == 'owner' or name == 'tag' then
    local key = index_key(name, value)
    indexes[#indexes + 1] = { keys = { key }, size = redis.call('ZCARD', key) }
  else
    wanted[name] = value
  end
end
-- The groups are an index like the others where one of their filters is asked for, and all tasks where none is.
if next(wanted) or #indexes == 0 then
  local kinds = wanted.kind and { wanted.kind } or redis.call('SMEMBERS', KINDS)
  local keys, size = groups(kinds, wanted.status or '', wanted.type or '')
  indexes[#indexes + 1] = { keys = keys, size = size, groups = true }
end
table.sort(indexes, function(a, b) return a.size < b.size end)

local function is_in(index, id)
  if not index.groups then return redis.call('ZSCORE', index.keys[1], id) end
  local fields = redis.call('HMGET', task_key(id), 'status', 'type', 'kind')
  for place, name in ipairs({ 'status', 'type', 'kind' }) do
    if wanted[name] and wanted[name] ~= fields[place] then return false end
  end
  return true
end

local function matches(id)
  for i = 2, #indexes do
    if not is_in(indexes[i], id) then return false end
  end
  return true
end

local function total()
  if text ~= '' or (#indexes > 1 and indexes[1].size > COUNTABLE) then return '' end
  local count = 0
  for _, key in ipairs(indexes[1].keys) do
    if #indexes == 1 then
      count = count + redis.call('ZLEXCOUNT', key, lower, top)
    else
      for _, id in ipairs(redis.call('ZRANGEBYLEX', key, lower, top)) do
        if matches(id) then count = count + 1 end
      end
    end
  end
  return number_text(count)
end

-- The sets of the first index, each with the ids that come next in it; they are merged.
local sources = {}
local function refill(source)
  source.ids = redis.call('ZREVRANGEBYLEX', source.key, source.bound, lower, 'LIMIT', 0, CHUNK)
  source.at = 1
  if #source.ids > 0 then source.bound = '(' .. source.ids[#source.ids] end
end
for _, key in ipairs(indexes[1].keys) do
  local source = { key = key, bound = upper }
  refill(source)
  if #source.ids > 0 then sources[#sources + 1] = source end
end

-- The source with the newest id that was not taken yet; nothing at the end.
local function newest()
  local best
  for _, source in ipairs(sources) do
    local id = source.ids[source.at]
    if id and (not best or id > best.ids[best.at]) then best = source end
  end
  return best
end

local function take()
  local source = newest()
  if not source then return nil end
  local id = source.ids[source.at]
  source.at = source.at + 1
  if source.at > #source.ids then refill(source) end
  return id
end

local found, last, looked = {}, '', 0
while #found < most and looked < looks do
  local id = take()
  if not id then break end
  last, looked = id, looked + 1
  if matches(id) then
    local about = about_of(id)
    local fits = text == '' or string.find(string.lower(cjson.decode(about).name), text, 1, true)
    if fits then found[#found + 1] = { id, redis.call('HGETALL', task_key(id)), about } end
  end
end
return { newest() and last or '', total(), found }
