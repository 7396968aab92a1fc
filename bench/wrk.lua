-- At the end of a run wrk prints one line of JSON as well; latencies in milliseconds.
done = function(summary, latency, requests)
  local errors = summary.errors
  local function at(percentile) return latency:percentile(percentile) / 1e3 end
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"p50":%.3f,"p90":%.3f,"p99":%.3f,"p999":%.3f,"errors":%d}\n',
    summary.requests, summary.duration / 1e6, at(50), at(90), at(99), at(99.9),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
