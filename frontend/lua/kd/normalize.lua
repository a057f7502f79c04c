-- Batch normalisation (Ioffe & Szegedy 2015), PyTorch's BatchNorm1d and 2d: over all axes but the
-- channels, axis 2. While training it uses the statistics of the rows that the batch has, and renews
-- the running ones; in inference form, those make it one factor and one summand per channel.

local core = ...
local check = require "kd.check"
local initial = require "kd.initial"
local ops = require "kd.ops"
local parts = require "kd.parts"
local one = check.record(initial.constant(1), "initialiser")
local zero = check.record(initial.zeros(), "initialiser")
local normalize = {}

local keys = {
  eps = { "number", 1e-5, min = 0 },
  momentum = { "number", 0.1, min = 0, max = 1 },
  affine = { "boolean", true },
  name = { "string" },
}

local function running(name, channels, value)
  return core.parameter(name, { channels }, { kind = "constant", value = value, running = 1 })
end

-- All axes but the channels, and how many elements they have for one sample.
local function other_axes(shape)
  local axes, n = { 1 }, 1
  for k = 3, #shape do axes[#axes + 1], n = k, n * shape[k] end
  return axes, n
end

-- x less the batch's mean, the variance; renews the running statistics, this one by N / (N - 1).
local function batch_statistics(x, o, old_mean, old_var)
  local axes, elements = other_axes(x.shape)
  local function wide(v) return core.broadcast(v, x.shape, { 1 }) end
  local mean = ops.mean(x, axes)
  local centred = x - wide(mean)
  local var = ops.mean(centred * centred, axes)
  local n = core.rows() * elements
  local unbiased = var * (n / ops.maximum(n - 1, 1))
  core.renew((1 - o.momentum) * old_mean + o.momentum * ops.detach(mean))
  core.renew((1 - o.momentum) * old_var + o.momentum * ops.detach(unbiased))
  return centred, var
end

-- batch_norm(x, { eps, momentum, affine, name })
function normalize.batch_norm(x, options)
  local o = check.options("batch_norm", options, keys)
  if not core.is_tensor(x) or x.rank < 2 or x.shape[1] ~= -1 then
    core.fail(("batch_norm: its input must be f32[B,channels,…], not %s"):format(
      core.is_tensor(x) and core.type_text(x) or check.describe(x)))
  end
  local channels = x.shape[2]
  return parts.layer("batch_norm", "bn", o.name, function(name)
    local function wide(v) return core.broadcast(v, x.shape, { 1 }) end
    local weight = o.affine and parts.weight(name .. ".weight", { channels }, nil, nil, one)
    local bias = o.affine and parts.weight(name .. ".bias", { channels }, nil, nil, zero)
    local mean = running(name .. ".running_mean", channels, 0)
    local var = running(name .. ".running_var", channels, 1)
    if core.renewing() then
      local centred, batch_var = batch_statistics(x, o, mean, var)
      local scale = 1 / ops.sqrt(batch_var + o.eps)
      local y = centred * wide(weight and weight * scale or scale)
      return bias and y + wide(bias) or y
    end
    local scale = 1 / ops.sqrt(var + o.eps)
    if weight then scale = weight * scale end
    local shift = bias and bias - mean * scale or -(mean * scale)
    return x * wide(scale) + wide(shift)
  end)
end

return normalize
