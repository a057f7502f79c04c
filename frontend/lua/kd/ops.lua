-- Functions over tensors; all of them are methods too: kd.sum(x, 2) is x:sum(2). Axes count from
-- 1, negative ones from the end, and axis 1 is the batch.

local core = ...
local check = require "kd.check"
local ops = {}

local function need_tensor(what, x)
  if not core.is_tensor(x) then
    core.fail(("%s: a tensor comes first, not %s"):format(what, check.describe(x)))
  end
end

for _, name in ipairs { "exp", "log", "tanh", "sqrt", "abs", "sin", "cos", "floor", "detach" } do
  ops[name] = function(x) return core.unary(name, x) end
end

-- 1 / (1 + e^-x), by tanh, which neither overflows nor loses digits.
function ops.sigmoid(x) return 0.5 * core.unary("tanh", 0.5 * x) + 0.5 end

function ops.maximum(x, y) return core.binary("max", x, y) end
function ops.minimum(x, y) return core.binary("min", x, y) end
function ops.equal(x, y) return core.binary("eq", x, y) end
function ops.less(x, y) return core.binary("lt", x, y) end
function ops.where(condition, x, y) return core.select(condition, x, y) end
function ops.float(x) return core.cast(x, "f32") end

local function axes_of(what, x, axes)
  need_tensor(what, x)
  if axes == nil then
    axes = {}
    for k = 1, x.rank do axes[k] = k end
  elseif type(axes) ~= "table" then
    axes = { axes }
  end
  return axes
end

local reduction = { keep = { "boolean", false } }

local function reducer(name)
  return function(x, axes, options)
    local keep = options ~= nil and check.options(name, options, reduction).keep
    return core.reduce("reduce_" .. name, x, axes_of(name, x, axes), keep)
  end
end

-- sum(x), sum(x, axis), sum(x, { axes }, { keep = true })
ops.sum = reducer("sum")
ops.max = reducer("max")

-- The batch counts the rows that are there, not the most there may be.
function ops.mean(x, axes, options)
  axes = axes_of("mean", x, axes)
  local shape, n, batch = x.shape, 1, false
  for _, axis in ipairs(axes) do
    if math.type(axis) ~= "integer" then
      core.fail(("mean: an axis is an integer, not %s"):format(check.describe(axis)))
    end
    local extent = shape[axis < 0 and axis + x.rank + 1 or axis]
    if extent == -1 then batch = true else n = n * (extent or 1) end
  end
  if options ~= nil then check.options("mean", options, reduction) end
  local sum = ops.sum(x, axes, options)
  if n ~= 1 then sum = sum * (1 / n) end
  if batch then sum = sum / core.rows() end
  return sum
end

-- reshape(x, { -1, 7, 7 }): the batch, when x has one, stays outermost and is not named. One
-- extent may stand without braces.
function ops.reshape(x, dims)
  need_tensor("reshape", x)
  if type(dims) ~= "table" then dims = { dims } end
  local given, shape, total, free = {}, x.shape, 1, nil
  if shape[1] == -1 then given[1] = -1 end
  for k, extent in ipairs(shape) do
    if extent ~= -1 then total = total * extent end
  end
  for _, extent in ipairs(dims) do
    given[#given + 1] = extent
    if extent == -1 then
      if free then core.fail("reshape: only one extent may be -1") end
      free = #given
    else
      if math.type(extent) ~= "integer" or extent < 1 then
        core.fail(("reshape: %s is not an extent"):format(tostring(extent)))
      end
      total = total // extent
    end
  end
  if free then given[free] = total end
  return core.reshape(x, given)
end

function ops.flatten(x)
  need_tensor("flatten", x)
  local n = 1
  for k, extent in ipairs(x.shape) do
    if k > 1 then n = n * extent end
  end
  return core.reshape(x, { x.shape[1], n })
end

function ops.transpose(x, order) return core.transpose(x, order) end

-- concat({ x, y }, axis): axis 2, the channels, when none is given. All other extents agree.
function ops.concat(list, axis)
  local first = type(list) == "table" and list[1]
  if first == nil then core.fail("concat: from 1 to 64 tensors, but the list is empty") end
  if not core.is_tensor(first) then
    core.fail("concat: a list of tensors comes first, as in kd.concat { x, y }")
  end
  axis = axis or 2
  for k, x in ipairs(list) do
    local same = core.is_tensor(x) and x.rank == first.rank and x.dtype == first.dtype
    for d, extent in ipairs(first.shape) do same = same and (d == axis or x.shape[d] == extent) end
    if not same then
      core.fail(("concat: along axis %s, part %d is %s and part 1 %s: all other extents must agree")
        :format(axis, k, core.is_tensor(x) and core.type_text(x) or "no tensor", core.type_text(first)))
    end
  end
  return core.concat(list, axis - 1)
end

-- pad(x, axis, before, after): so many zeros in front of x and behind it, along the axis.
function ops.pad(x, axis, before, after)
  need_tensor("pad", x)
  if math.type(axis) ~= "integer" or axis < 2 or axis > x.rank then
    core.fail("pad: no such axis, or the batch")
  end
  for k = 1, 2 do -- either may be nil
    local n = select(k, before, after)
    if math.type(n) ~= "integer" or n < 0 or n > 65536 then
      core.fail(("pad: %s is not a number of zeros"):format(tostring(n)))
    end
  end
  return core.pad(x, axis - 1, before, after)
end

-- slice(x, axis, first, count): elements first … first + count - 1 along the axis, from 1.
function ops.slice(x, axis, first, count)
  need_tensor("slice", x)
  local starts, extents = {}, x.shape
  local extent = extents[axis]
  if not extent or extent == -1 then core.fail("slice: no such axis, or the batch") end
  if math.type(first) ~= "integer" or math.type(count) ~= "integer" or first < 1 or count < 1
      or count > extent - first + 1 then
    core.fail(("slice: %s elements from %s on do not lie in %d"):format(count, first, extent))
  end
  for k in ipairs(extents) do starts[k] = 0 end
  starts[axis], extents[axis] = first - 1, count
  return core.slice(x, starts, extents)
end

-- One row of zeros and a one per label: i32[B] -> f32[B,classes].
function ops.one_hot(y, classes)
  need_tensor("one_hot", y)
  if y.rank ~= 1 or y.dtype ~= "i32" or math.type(classes) ~= "integer" or classes < 1 then
    core.fail(("one_hot: labels i32[B] and a number of classes, not %s and %s"):format(core.type_text(y),
      check.describe(classes)))
  end
  local each = core.broadcast(y, { y.shape[1], classes }, { 0 })
  return core.cast(core.binary("eq", core.iota({ y.shape[1], classes }, 1), each), "f32")
end

-- An axis may be named, if it is the last one.
local function need_last(what, x, axis)
  need_tensor(what, x)
  if axis ~= nil and axis ~= -1 and axis ~= x.rank then
    core.fail(("%s: over the last axis, %d of %s, not over %s"):format(what, x.rank, core.type_text(x),
      tostring(axis)))
  end
end

-- Over the last axis. The maximum is subtracted first, so that nothing overflows.
function ops.log_softmax(x, axis)
  need_last("log_softmax", x, axis)
  local below = x - core.unary("detach", ops.max(x, -1, { keep = true }))
  return below - ops.log(ops.sum(ops.exp(below), -1, { keep = true }))
end

function ops.softmax(x, axis)
  need_last("softmax", x, axis)
  local e = ops.exp(x - core.unary("detach", ops.max(x, -1, { keep = true })))
  return e / ops.sum(e, -1, { keep = true })
end

-- grad(y, x): the gradient of y by x, of x's shape; y is a scalar, or one number per sample, which are
-- added up: where sample b's y depends on sample b's x alone, its row b is that sample's gradient.
-- Gradients may be differentiated again. Noise is put in afterwards, so they know nothing of it.
function ops.grad(y, x) return core.grad(y, x) end

-- Shows the tensor while the generated code runs, and returns it.
function ops.print(x, label) return core.print(x, label) end

-- Names a point of the network where kd.noise { site = name } may act.
function ops.site(x, name) return core.site(x, name) end

return ops
