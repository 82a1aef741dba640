-- The window guard of all lanes (service/core/shared.py has the laws). Atomic, by this server's
-- clock, all in one hash, so that no part of it can be lost alone:
--   run, born, open      which server process, when the window was made, until when it is full
--   now, at, far         the clock's last reading; the steps not yet forgotten: from at to far
--   c, r, c<step> r<step>  calls and requests that count, and those that leave at a step
--   pc, pr                 when an even pace would have come to what was granted; calls, requests
--   l<lane>, w<lane>, wu<lane>, rest   registered until; wanted calls, until; all pause until
-- ARGV: keep_ms step_ms window_ms registered_ms want_ms stay_ms lane lanes calls_max requests_max
--   own_calls own_requests calls burst_calls join join_until known_ms rest_ms, then (born step calls age_ms)...;
--   an age below 0 is of an attempt that never began.
local key, arg = KEYS[1], {}
for i, value in ipairs(ARGV) do arg[i] = tonumber(value) end
local keep_ms, step_ms, window_ms, registered_ms, want_ms, stay_ms =
  arg[1], arg[2], arg[3], arg[4], arg[5], arg[6]
local lane, lanes, calls_max, requests_max = arg[7], arg[8], arg[9], arg[10]
local own_calls, own_requests, calls, burst_calls = arg[11], arg[12], arg[13], arg[14]
local join, join_until, known_ms, rest_ms = arg[15], arg[16], arg[17], arg[18]

local function whole(number) return string.format('%.0f', number) end
local function get(field) return tonumber(redis.call('HGET', key, field)) or 0 end
local function set(field, number) redis.call('HSET', key, field, whole(number)) end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- A window of another run of the server may be an old copy: it is as good as lost.
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
if redis.call('HGET', key, 'run') ~= run then
  redis.call('DEL', key)
  redis.call('HSET', key, 'run', run, 'born', whole(now))
  set('open', now + registered_ms + stay_ms)
  set('at', math.floor(now / step_ms))
end
now = math.max(now, get('now'))
set('now', now)
redis.call('PEXPIRE', key, whole(keep_ms))
local born = get('born')

-- What has left is forgotten.
local last, at, far = math.floor(now / step_ms), get('at'), get('far')
local all_calls, all_requests = get('c'), get('r')
for step = at, math.min(last, far) do
  local name = whole(step)
  local requests = get('r' .. name)
  if requests ~= 0 then
    all_calls, all_requests = all_calls - get('c' .. name), all_requests - requests
    redis.call('HDEL', key, 'c' .. name, 'r' .. name)
  end
end
at = last + 1
set('at', at)

local function add(step, some_calls, some_requests)
  local name = whole(step)
  redis.call('HINCRBY', key, 'c' .. name, whole(some_calls))
  redis.call('HINCRBY', key, 'r' .. name, whole(some_requests))
  all_calls, all_requests = all_calls + some_calls, all_requests + some_requests
  far = math.max(far, step)
end

-- What so much takes at an even pace is added to where that stands, or taken off.
local function pace(from, some_calls, some_requests)
  local call_ms, request_ms = window_ms / calls_max, window_ms / requests_max
  local takes = math.max(-window_ms, math.min(window_ms, some_calls * call_ms))
  set('pc', math.max(get('pc'), from) + takes)
  set('pr', math.max(get('pr'), from) + some_requests * request_ms)
end

for i = 19, #arg, 4 do
  local step, ended_calls, age = arg[i + 1], arg[i + 2], arg[i + 3]
  if arg[i] == born then
    if step >= at then add(step, -ended_calls, -1) end
    if age < 0 then pace(0, -ended_calls, -1) end
    local leaves = math.ceil((now - age + window_ms) / step_ms)
    if age >= 0 and leaves >= at then add(leaves, ended_calls, 1) end
  end
end

local registered = 0
local known = redis.call('HGET', key, 'l' .. lane)
if now <= join_until and (join == 2 or join == 1 and known and now <= known + known_ms) then
  set('l' .. lane, now + registered_ms)
  registered = 1
end
local all_registered = 1
for other = 0, lanes - 1 do
  if get('l' .. other) <= now then all_registered = 0 end
end
if rest_ms > 0 then set('rest', math.max(get('rest'), now + rest_ms)) end

-- Milliseconds until so much fits, if nobody else takes it.
local function wait_for(more_calls, more_requests)
  local left_calls, left_requests = all_calls, all_requests
  for step = at, far do
    if left_requests == 0
      or left_calls + more_calls <= calls_max and left_requests + more_requests <= requests_max
    then return math.max(0, (step - 1) * step_ms - now) end
    local name = whole(step)
    local requests = get('r' .. name)
    if requests ~= 0 then
      left_calls, left_requests = left_calls - get('c' .. name), left_requests - requests
    end
  end
  return math.max(0, far * step_ms - now)
end

-- Milliseconds by which more than the burst is ahead of an even pace.
local function ahead(more_calls, more_requests)
  local call_ms, request_ms = window_ms / calls_max, window_ms / requests_max
  local by_calls = get('pc') - now + (more_calls - burst_calls) * call_ms
  local by_requests = get('pr') - now + (more_requests - 1) * request_ms
  return math.max(0, math.ceil(math.max(by_calls, by_requests)))
end
local granted, wait, closed = 0, 0, 0
local open, rest = get('open'), get('rest')
if now < open then closed, wait = 1, open - now
elseif calls > 0 and now < rest then wait = rest - now
elseif calls > 0 then
  local beyond = own_calls + calls > math.floor(calls_max / lanes)
    or own_requests + 1 > math.floor(requests_max / lanes)
  -- Who is within its share goes first.
  local wanted_calls, wanted_requests = 0, 0
  for other = 0, lanes - 1 do
    if beyond and other ~= lane and get('wu' .. other) > now then
      wanted_calls, wanted_requests = wanted_calls + get('w' .. other), wanted_requests + 1
    end
  end
  local more_calls, more_requests = calls + wanted_calls, 1 + wanted_requests
  local fits = all_calls + more_calls <= calls_max
    and all_requests + more_requests <= requests_max
  local early = ahead(wanted_calls, wanted_requests)
  if beyond and all_registered == 0 and own_requests > 0 then wait = 1000
  elseif early == 0 and (fits or all_requests == 0) then
    granted = math.ceil((now + stay_ms) / step_ms)
    add(granted, calls, 1)
    redis.call('HDEL', key, 'w' .. lane, 'wu' .. lane)
    pace(now, calls, 1)
    wait = math.max(ahead(wanted_calls, wanted_requests), wait_for(more_calls, more_requests))
  else
    wait = math.max(1, early, wait_for(more_calls, more_requests))
    if not beyond then
      set('w' .. lane, calls)
      set('wu' .. lane, now + want_ms)
    end
  end
end

set('c', all_calls)
set('r', all_requests)
set('far', far)
return {now, born, registered, all_registered, closed, all_calls, all_requests, granted, wait}
