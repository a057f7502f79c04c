-- Optimisers: a kind and its hyperparameters, which are scalars of the generated code: changing
-- one recompiles nothing. Formulas are in passes/optimize.c.

local core = ...
local check = require "kd.check"
local Optimizer = check.class("optimizer")
local optimizer = {}

-- What any optimiser takes: scale of the loss, limits on gradients and weights, steps between updates, groups.
local common = {
  clip_norm = { "number", min = 0 },
  clip_value = { "number", min = 0 },
  max_norm = { "number", min = 0 },
  loss_scale = { "number", min = 2^-24, max = 2^24 },
  accumulate = { "integer", 1, min = 1, max = 65536 },
  groups = { "table" },
}

-- Groups of parameters, { params = "*.bias", lr, weight_decay }: the first whose pattern fits counts.
local function add_groups(what, o, result)
  if o.groups then check.length(what .. ": 'groups'", o.groups) end
  for k, given in ipairs(o.groups or {}) do
    if k > 16 then core.fail(("%s: at most 16 groups"):format(what)) end
    local group = check.options(("%s: group %d"):format(what, k), given, {
      params = { "string", required = true },
      lr = { "number", o.lr, min = 0 },
      weight_decay = { "number", o.weight_decay, min = 0 },
    })
    local prefix = ("group%d."):format(k)
    result.program[#result.program + 1] = { prefix .. "params", group.params }
    result.hypers[#result.hypers + 1] = { prefix .. "lr", group.lr }
    result.hypers[#result.hypers + 1] = { prefix .. "weight_decay", group.weight_decay }
  end
end

-- Defines kd.NAME, and returns what makes its record. hypers: { name, default } in the order in which
-- they are kept.
local function define(name, hypers, flags)
  local function record(options)
    local known = {}
    for key, rule in pairs(common) do known[key] = rule end
    for _, h in ipairs(hypers) do known[h[1]] = { "number", h[2], min = 0 } end
    for flag in pairs(flags or {}) do known[flag] = { "boolean", false } end
    local o = check.options("kd." .. name, options, known)
    local result = { name = name, hypers = {}, program = {} }
    for _, h in ipairs(hypers) do
      result.hypers[#result.hypers + 1] = { h[1], o[h[1]] }
    end
    for flag in pairs(flags or {}) do
      if o[flag] then result.program[#result.program + 1] = { flag, 1 } end
    end
    for _, key in ipairs { "loss_scale", "clip_norm", "clip_value", "max_norm" } do
      if o[key] then result.hypers[#result.hypers + 1] = { key, o[key] } end
    end
    if o.accumulate > 1 then
      result.program[#result.program + 1] = { "accumulate", o.accumulate }
    end
    add_groups("kd." .. name, o, result)
    if o.nesterov and o.momentum == 0 then
      core.fail("kd.sgd: 'nesterov' needs a 'momentum' above 0")
    end
    return result
  end
  optimizer[name] = function(options) return check.seal(record(options), Optimizer) end
  return record
end

local plain_sgd = define("sgd", { { "lr", 0.01 }, { "momentum", 0.0 }, { "weight_decay", 0.0 } }, { nesterov = true })

-- momentum = { from =, to =, epochs = } goes from one to the other by equal steps.
function optimizer.sgd(options)
  local ramp = type(options) == "table" and options.momentum
  if type(ramp) ~= "table" then return check.seal(plain_sgd(options), Optimizer) end
  ramp = check.options("kd.sgd: momentum", ramp, {
    from = { "number", required = true, min = 0 }, to = { "number", required = true, min = 0 },
    epochs = { "number", required = true, min = 1 },
  })
  local fixed = {}
  for key, value in pairs(options) do fixed[key] = value end
  fixed.momentum = ramp.from
  local result = plain_sgd(fixed)
  result.hypers[#result.hypers + 1] = { "momentum.to", ramp.to }
  result.momentum_epochs = ramp.epochs
  return check.seal(result, Optimizer)
end
define("adam", { { "lr", 1e-3 }, { "beta1", 0.9 }, { "beta2", 0.999 }, { "eps", 1e-8 },
  { "weight_decay", 0.0 } })
define("adamw", { { "lr", 1e-3 }, { "beta1", 0.9 }, { "beta2", 0.999 }, { "eps", 1e-8 },
  { "weight_decay", 0.01 } })
define("adadelta", { { "lr", 1.0 }, { "rho", 0.95 }, { "eps", 1e-6 }, { "weight_decay", 0.0 } })
define("rmsprop", { { "lr", 1e-3 }, { "rho", 0.99 }, { "eps", 1e-8 }, { "weight_decay", 0.0 } })

return optimizer
