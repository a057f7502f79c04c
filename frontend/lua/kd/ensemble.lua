-- What several teachers say together: functions for kd.distill { combine = … } that make logits
-- of a list of logits f32[B,classes]. `weights`, one per teacher, are scaled to sum to 1; without
-- them all count alike.

local core = ...
local check = require "kd.check"
local ops = require "kd.ops"
local ensemble = {}

local function shares(what, weights, n)
  local total, result = 0, {}
  if weights and #weights ~= n then
    core.fail(("%s: %d weights for %d teachers"):format(what, #weights, n))
  end
  for k = 1, n do
    local w = weights and weights[k] or 1
    if type(w) ~= "number" or not (w > 0 and w < math.huge) then
      core.fail(("%s: a weight must be a finite number above 0, not %s"):format(what, check.describe(w)))
    end
    result[k], total = w, total + w
  end
  for k = 1, n do result[k] = result[k] / total end
  return result
end

-- Makes kd.ensemble.NAME { weights }: `join` gets the logits and as many shares.
local function define(name, join)
  local what = "kd.ensemble." .. name
  ensemble[name] = function(options)
    local o = check.options(what, options, { weights = { "table" } })
    if o.weights then check.length(what .. ": 'weights'", o.weights) end
    return function(logits)
      if type(logits) ~= "table" or getmetatable(logits) ~= nil or #logits == 0 then
        core.fail(("%s: a list of logits is needed, not %s"):format(what, check.describe(logits)))
      end
      return join(logits, shares(what, o.weights, #logits))
    end
  end
end

local function weighted_sum(list, share)
  local sum = share[1] * list[1]
  for k = 2, #list do sum = sum + share[k] * list[k] end
  return sum
end

local function log_softmaxes(list)
  local result = {}
  for k, z in ipairs(list) do result[k] = ops.log_softmax(z) end
  return result
end

-- Σ w z
define("logits", weighted_sum)

-- log of the geometric mean of distributions, Σ w log softmax(z); softmax of it normalises.
define("geometric", function(logits, share) return weighted_sum(log_softmaxes(logits), share) end)

-- One teacher, drawn anew for each batch with the probability of its share.
define("drawn", core.drawn)

-- log of the arithmetic mean, log Σ w softmax(z); the largest is taken out first, so that no
-- logarithm of zero is taken.
define("arithmetic", function(logits, share)
  local logs = log_softmaxes(logits)
  for k, l in ipairs(logs) do logs[k] = l + math.log(share[k]) end
  local top = logs[1]
  for k = 2, #logs do top = ops.maximum(top, logs[k]) end
  local sum = ops.exp(logs[1] - top)
  for k = 2, #logs do sum = sum + ops.exp(logs[k] - top) end
  return top + ops.log(sum)
end)

return ensemble
