-- What http_bench.py wants to know of a run of wrk, as a line of JSON.

local PERCENTS = { 50, 99, 99.9 }

function done(summary, latency, requests)
  local errors = summary.errors
  local parts = {}
  for _, percent in ipairs(PERCENTS) do
    parts[#parts + 1] = string.format('"p%g": %d', percent, latency:percentile(percent))
  end
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format('{"requests": %d, "us": %d, "broken": %d, "refused": %d, %s}\n',
                         summary.requests, summary.duration, broken, errors.status,
                         table.concat(parts, ", ")))
end
