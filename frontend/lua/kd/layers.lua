-- Layers: each has a name (`conv1`, or the option `name`), the parameters PyTorch would give it
-- (`conv1.weight` [out, in, height, width], `fc1.weight` [out, in], `….bias`), and a row in the
-- layer table. Images are [batch, channels, height, width].

local core = ...
local check = require "kd.check"
local ops = require "kd.ops"
local parts = require "kd.parts"
local layer, weight, with = parts.layer, parts.weight, parts.with
local need_rank, need_width = parts.need_rank, parts.need_width
local layers = {}

-- linear(x, out, { name, bias, init, bias_init }): x·Wᵀ + b
function layers.linear(x, out, options)
  need_rank("linear", x, 2, "f32[B,features]")
  need_width("linear", out)
  local o = check.options("linear", options, parts.keys)
  local fan = x.shape[2]
  return layer("linear", "fc", o.name, function(name)
    local y = core.linear(x, weight(name .. ".weight", { out, fan }, fan, out, o.init))
    if o.bias then y = y + weight(name .. ".bias", { out }, fan, out, o.bias_init) end
    return y
  end)
end

-- Output extents of a window; errors when it does not fit.
local function extents(what, x, o, ceil)
  local out = {}
  for k = 1, 2 do
    local extent = x.shape[k + 2]
    local reach = o.dilation[k] * (o.kernel[k] - 1) + 1
    local room = extent + 2 * o.padding[k] - reach
    if room < 0 then
      core.fail(("%s: a kernel of %dx%d (dilation %d) is larger than its input %s with padding %d")
        :format(what, o.kernel[1], o.kernel[2], o.dilation[k], core.type_text(x), o.padding[k]))
    end
    local stride = o.stride[k]
    out[k] = (ceil and -(-room // stride) or room // stride) + 1
    -- The last window must begin inside the input or its left padding.
    if ceil and (out[k] - 1) * stride >= extent + o.padding[k] then out[k] = out[k] - 1 end
  end
  return out
end

local conv_keys = with(parts.keys, {
  kernel = { "any", required = true },
  stride = { "any", 1 },
  padding = { "any", 0 },
  dilation = { "any", 1 },
  groups = { "integer", 1, min = 1 },
})

local function geometry(what, o)
  return {
    kernel = check.pair(what, "kernel", o.kernel, 1),
    stride = check.pair(what, "stride", o.stride, 1),
    padding = check.pair(what, "padding", o.padding, 0),
    dilation = check.pair(what, "dilation", o.dilation or 1, 1),
  }
end

-- conv2d(x, channels, { kernel, stride, padding, dilation, groups, name, bias, init, bias_init })
function layers.conv2d(x, out, options)
  need_rank("conv2d", x, 4, "f32[B,channels,height,width]")
  need_width("conv2d", out)
  local o = check.options("conv2d", options, conv_keys)
  local w, channels = geometry("conv2d", o), x.shape[2]
  if channels % o.groups ~= 0 or out % o.groups ~= 0 then
    core.fail(("conv2d: %d groups do not divide both %d input and %d output channels evenly")
      :format(o.groups, channels, out))
  end
  w.out = extents("conv2d", x, w, false)
  local inner = channels // o.groups
  local area = w.kernel[1] * w.kernel[2]
  local fan_in, fan_out = inner * area, out // o.groups * area
  return layer("conv2d", "conv", o.name, function(name)
    local dims = { out, inner, w.kernel[1], w.kernel[2] }
    local y = core.conv2d(x, weight(name .. ".weight", dims, fan_in, fan_out, o.init), w, o.groups)
    if o.bias then
      local b = weight(name .. ".bias", { out }, fan_in, fan_out, o.bias_init)
      y = y + core.broadcast(b, y.shape, { 1 })
    end
    return y
  end)
end

local pool_keys = {
  stride = { "any" }, -- the kernel, when not given
  padding = { "any", 0 },
  ceil = { "boolean", false },
  name = { "string" },
}

local function pool_window(what, x, kernel, options)
  need_rank(what, x, 4, "f32[B,channels,height,width]")
  local o = check.options(what, options, pool_keys)
  o.kernel = kernel
  o.stride = o.stride or kernel
  local w = geometry(what, o)
  for k = 1, 2 do
    if 2 * w.padding[k] > w.kernel[k] then
      core.fail(("%s: padding %d is more than half of the kernel %d"):format(what, w.padding[k],
        w.kernel[k]))
    end
  end
  w.out = extents(what, x, w, o.ceil)
  return w, o
end

-- max_pool(x, kernel, { stride, padding, ceil })
function layers.max_pool(x, kernel, options)
  local w, o = pool_window("max_pool", x, kernel, options)
  return layer("max_pool", "pool", o.name, function()
    return core.pool(x, w, "reduce_max", -math.huge)
  end)
end

-- How many of a window's rows lie in the padded input, for each output row: only a last window,
-- with `ceil`, reaches beyond it. f32[out].
local function count(w, x, k)
  local start = ops.float(core.iota({ w.out[k] }, 0)) * w.stride[k]
  return ops.minimum((x.shape[k + 2] + 2 * w.padding[k]) - start, w.kernel[k])
end

local function reaches_beyond(w, x, k)
  return (w.out[k] - 1) * w.stride[k] + w.kernel[k] > x.shape[k + 2] + 2 * w.padding[k]
end

-- avg_pool(x, kernel, { stride, padding, ceil }): padding counts as zeros, what lies beyond it not
-- at all.
function layers.avg_pool(x, kernel, options)
  local w, o = pool_window("avg_pool", x, kernel, options)
  return layer("avg_pool", "pool", o.name, function()
    local sum = core.pool(x, w, "reduce_sum", 0)
    if not reaches_beyond(w, x, 1) and not reaches_beyond(w, x, 2) then
      return sum * (1 / (w.kernel[1] * w.kernel[2]))
    end
    local rows = core.broadcast(count(w, x, 1), { w.out[1], w.out[2] }, { 0 })
    return sum / (rows * count(w, x, 2))
  end)
end

-- global_avg_pool(x), global_max_pool(x): one number per channel, f32[B,channels].
for what, reduce in pairs { global_avg_pool = ops.mean, global_max_pool = ops.max } do
  layers[what] = function(x, options)
    need_rank(what, x, 4, "f32[B,channels,height,width]")
    local o = check.options(what, options, { name = { "string" } })
    return layer(what, "pool", o.name, function() return reduce(x, { 3, 4 }) end)
  end
end

local function check_number(what, v)
  if v ~= nil and (type(v) ~= "number" or v - v ~= 0) then
    core.fail(("%s: a finite number comes second, not %s"):format(what, check.describe(v)))
  end
end

-- Layers of a tensor alone, or of one number more, in the table under their own names.
local takes_number = { leaky_relu = true, elu = true, softmax = true, log_softmax = true }
local function activation(name, f)
  layers[name] = function(x, parameter)
    if parameter ~= nil and not takes_number[name] then
      core.fail(("%s: a tensor alone is needed, not %s besides"):format(name, check.describe(parameter)))
    end
    check_number(name, parameter)
    return layer(name, name, nil, function() return f(x, parameter) end)
  end
end

-- leaky_relu(x, slope): x above 0, slope · x below it.
activation("leaky_relu", function(x, slope)
  return core.binary("max", x, 0) + (slope or 0.01) * core.binary("min", x, 0)
end)

-- elu(x, alpha): x above 0, alpha · (e^x - 1) below it.
activation("elu", function(x, alpha)
  return core.binary("max", x, 0) + (alpha or 1) * (ops.exp(core.binary("min", x, 0)) - 1)
end)

-- gelu(x): x Φ(x) in the form by tanh, PyTorch's approximate = "tanh".
activation("gelu", function(x)
  return 0.5 * x * (1 + ops.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
end)

-- silu(x): x · sigmoid(x).
activation("silu", function(x) return x * ops.sigmoid(x) end)

activation("relu", function(x) return core.binary("max", x, 0) end)
for _, name in ipairs { "tanh", "sigmoid", "softmax", "log_softmax", "flatten" } do
  activation(name, ops[name])
end

-- dropout(x, rate, { name }): while training, zero with probability `rate` and the rest scaled by
-- 1 / (1 - rate); otherwise x. Its random numbers are a stream named after the layer.
function layers.dropout(x, rate, options)
  local o = check.options("dropout", options, { name = { "string" } })
  if type(rate) ~= "number" or not (rate >= 0 and rate < 1) then
    core.fail(("dropout: the rate must be in [0, 1), not %s"):format(check.describe(rate)))
  end
  return layer("dropout", "dropout", o.name, function(name)
    if not core.training() or rate == 0 then return x end
    local keep = ops.less(core.constant(x, rate), core.uniform(x, name))
    return ops.where(keep, x * (1 / (1 - rate)), core.constant(x, 0))
  end)
end

-- bias_correction(x, { [3] = 3.5 }): what is added to the logits of those classes, counted from 0, where the
-- network infers but not where it trains: for classes that the training samples lacked.
function layers.bias_correction(x, added)
  parts.need_rank("bias_correction", x, 2, "f32[B,classes]")
  if type(added) ~= "table" then
    core.fail(("bias_correction: numbers by class, as { [3] = 3.5 }, not %s"):format(check.describe(added)))
  end
  for class, v in pairs(added) do
    if math.type(class) ~= "integer" or class < 0 or class >= x.shape[2] or type(v) ~= "number"
        or v - v ~= 0 then
      core.fail(("bias_correction: finite numbers by class from 0 to %d, not [%s] = %s"):format(x.shape[2] - 1,
        tostring(class), tostring(v)))
    end
    if not core.training() then
      local here = ops.float(ops.equal(ops.float(core.iota(x.shape, 1)), class))
      x = x + v * here
    end
  end
  return x
end

return layers
