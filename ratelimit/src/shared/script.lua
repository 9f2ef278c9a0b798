local t = redis.call('TIME')
local seconds, nanos = tonumber(t[1]), tonumber(t[2]) * 1000
local passes, full_in, takes = true, {}, {}
for i = 1, #KEYS do
  local take, capacity = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1])
  local full, at = 0, redis.call('GET', KEYS[i])
  if at then
    full = (tonumber(at:sub(1, -10)) - seconds) * 1e9 + tonumber(at:sub(-9)) - nanos
    full = math.max(0, math.min(full, capacity))
  end
  full_in[i], takes[i] = full, take > 0
  if take > 0 and full + take > capacity then
    takes[i] = false
    if ARGV[3 * i] == '0' then passes = false end
  end
end
local answer = { passes and 1 or 0 }
for i = 1, #KEYS do
  answer[i + 1] = full_in[i]
  if passes and takes[i] then
    local next = full_in[i] + tonumber(ARGV[3 * i - 2])
    local rest = math.fmod(nanos + next, 1e9)
    local at = string.format('%.0f%09.0f', seconds + (nanos + next - rest) / 1e9, rest)
    redis.call('SET', KEYS[i], at, 'PX', string.format('%.0f', math.ceil(next / 1e6)))
  end
end
return answer
