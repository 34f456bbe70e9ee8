-- What wrk does for `python -m lab load --heavy`: counts answers by status and by who gave them, and prints JSON.
local ffi = require("ffi")
ffi.cdef [[
typedef struct { long sec; long usec; } lab_timeval;
int gettimeofday(lab_timeval *now, void *zone);
]]
local moment = ffi.new("lab_timeval")
local threads = {}

local function now()
  ffi.C.gettimeofday(moment, nil)
  return tonumber(moment.sec) + tonumber(moment.usec) / 1e6
end

function setup(thread)
  table.insert(threads, thread)
end

function init(_)
  seen, first_bad, last_bad, first_what, last_what = {}, 0, 0, "", ""
end

function response(status, headers, _)
  local what = status .. " " .. (headers["x-served-by"] or headers["X-Served-By"] or "")
  seen[what] = (seen[what] or 0) + 1
  if status >= 500 then
    last_bad, last_what = now(), what
    if first_bad == 0 then
      first_bad, first_what = last_bad, what
    end
  end
end

function done(summary, latency, _)
  local counts, first, last = {}, { 0, "" }, { 0, "" }
  for _, thread in ipairs(threads) do
    for what, count in pairs(thread:get("seen")) do
      counts[what] = (counts[what] or 0) + count
    end
    local began, ended = thread:get("first_bad"), thread:get("last_bad")
    if began > 0 and (first[1] == 0 or began < first[1]) then
      first = { began, thread:get("first_what") }
    end
    if ended > last[1] then
      last = { ended, thread:get("last_what") }
    end
  end
  local rows = {}
  for what, count in pairs(counts) do
    table.insert(rows, string.format('[%q, %d]', what, count))
  end
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %f, "answers": [%s], "connect": %d, "read": %d, "write": %d, "timeout": %d, ',
    summary.requests, summary.duration / 1e6, table.concat(rows, ", "),
    errors.connect, errors.read, errors.write, errors.timeout))
  io.write(string.format('"firstBad": [%f, %q], "lastBad": [%f, %q], ', first[1], first[2], last[1], last[2]))
  io.write(string.format('"p50": %f, "p95": %f, "p99": %f}\n',
    latency:percentile(50) / 1000, latency:percentile(95) / 1000, latency:percentile(99) / 1000))
end
