-- One POST an alert, each of them new: the fingerprint counts up.
local count, base = 0, tostring(os.time())
local body = '{"version":"4","status":"firing","receiver":"bench","groupKey":"{}","truncatedAlerts":0,'
  .. '"groupLabels":{},"commonLabels":{},"commonAnnotations":{},"externalURL":"http://bench","alerts":[{'
  .. '"status":"firing","labels":{"alertname":"HighMemory","instance":"10.0.20.10:9100","severity":"warning"},'
  .. '"annotations":{"summary":"memory is short on 10.0.20.10"},"startsAt":"2026-11-24T12:00:00.123456789Z",'
  .. '"endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://bench/graph","fingerprint":"%s-%d"}]}'

function init(arguments)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = "Bearer " .. arguments[1]
end

function request()
  count = count + 1
  return wrk.format(nil, nil, nil, string.format(body, base, count))
end

function done(summary)
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('{"answered": %d, "refused": %d, "broken": %d, "micros": %d}\n',
    summary.requests, errors.status, broken, summary.duration))
end
