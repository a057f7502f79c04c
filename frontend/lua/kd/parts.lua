-- What layers are made of: names, rows of the layer table, parameters, checks of their arguments.

local core = ...
local check = require "kd.check"
local parts = {}

-- Runs `build(name)` as a layer. `counter` is what its automatic names count.
function parts.layer(kind, counter, given_name, build)
  local name = core.counter(counter)
  if given_name then name = given_name end
  core.begin_layer(name)
  return core.end_layer(kind, build(name))
end

function parts.need_rank(what, x, rank, meaning)
  if not core.is_tensor(x) then
    core.fail(("%s: its input must be a tensor, not %s"):format(what, check.describe(x)))
  end
  if x.rank ~= rank then
    core.fail(("%s: its input must be %s, not %s%s"):format(what, meaning, core.type_text(x),
      rank == 2 and "; kd.flatten(x) makes it so" or ""))
  end
end

function parts.need_width(what, n)
  if math.type(n) ~= "integer" or n < 1 then
    core.fail(("%s: the number of outputs must be a positive integer, not %s"):format(what,
      check.describe(n)))
  end
end

function parts.weight(name, dims, fan_in, fan_out, init)
  if init.value then fan_in, fan_out = nil, nil end
  return core.parameter(name, dims,
    { kind = init.name, fan_in = fan_in, fan_out = fan_out, value = init.value })
end

parts.keys = {
  name = { "string" },
  bias = { "boolean", true },
  init = { "initialiser", require("kd.initial").he_uniform() },
  bias_init = { "initialiser", require("kd.initial").zeros() },
}

-- The keys of both tables.
function parts.with(base, more)
  local keys = {}
  for k, v in pairs(base) do keys[k] = v end
  for k, v in pairs(more) do keys[k] = v end
  return keys
end

return parts
