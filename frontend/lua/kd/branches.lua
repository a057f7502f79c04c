-- Networks that branch: sums and concatenations of what several paths make of one tensor. A path is
-- a function of the tensor; its layers have rows of their own in front of the row of the sum.

local core = ...
local check = require "kd.check"
local layers = require "kd.layers"
local ops = require "kd.ops"
local parts = require "kd.parts"
local branches = {}

local function both(y, x)
  return core.type_text(y), core.type_text(x)
end

-- The stride that takes x's image to y's, the same in both directions.
local function stride_between(x, y)
  local stride = x.rank == 4 and y.rank == 4 and -(-x.shape[3] // y.shape[3])
  if not stride or stride < 1 or -(-x.shape[3] // stride) ~= y.shape[3]
      or -(-x.shape[4] // stride) ~= y.shape[4] then
    core.fail(("residual: no stride takes the input to the body's result, %s and %s")
      :format(both(x, y)))
  end
  return stride
end

local shortcuts = {}

function shortcuts.identity(x) return x end

-- Averages of stride x stride elements, and channels of zeros behind those of x: no parameters.
function shortcuts.pool(x, y)
  local stride = stride_between(x, y)
  if x.shape[2] > y.shape[2] then
    core.fail(("residual: shortcut = \"pool\" can add channels but not drop them, %s and %s")
      :format(both(x, y)))
  end
  if stride > 1 then x = layers.avg_pool(x, stride, { ceil = true }) end
  return x.shape[2] < y.shape[2] and ops.pad(x, 2, 0, y.shape[2] - x.shape[2]) or x
end

-- A convolution of 1 x 1 to the channels of y.
function shortcuts.project(x, y)
  return layers.conv2d(x, y.shape[2], { kernel = 1, stride = stride_between(x, y) })
end

local function called(what, f, ...)
  local y = f(...)
  if not core.is_tensor(y) then
    core.fail(("residual: the %s must return a tensor, not %s"):format(what, check.describe(y)))
  end
  return y
end

-- residual(x, body, { shortcut, name }): body(x) + shortcut(x). The shortcut is a function, or
-- "identity", "pool" or "project".
function branches.residual(x, body, options)
  local o = check.options("residual", options, { shortcut = { "any", "identity" }, name = { "string" } })
  if not core.is_tensor(x) or type(body) ~= "function" then
    core.fail(("residual: a tensor and a function of it are needed, not %s and %s")
      :format(check.describe(x), check.describe(body)))
  end
  local shortcut = o.shortcut
  if type(shortcut) ~= "function" then
    shortcut = shortcuts[check.word("residual", "shortcut", shortcut, { "identity", "pool", "project" })]
  end
  local y = called("body", body, x)
  local short = called("shortcut", shortcut, x, y)
  local same = y.rank == short.rank
  for k, extent in ipairs(y.shape) do same = same and short.shape[k] == extent end
  if not same then
    core.fail(("residual: the body gives %s and the shortcut %s%s"):format(core.type_text(y),
      core.type_text(short),
      o.shortcut == "identity" and "; shortcut = \"pool\", \"project\" or a function changes shapes" or ""))
  end
  return parts.layer("residual", "residual", o.name, function() return y + short end)
end

-- concat({ x, y, … }, axis): one behind the other; axis 2, the channels, when none is given.
function branches.concat(list, axis)
  return parts.layer("concat", "concat", nil, function() return ops.concat(list, axis) end)
end

return branches
