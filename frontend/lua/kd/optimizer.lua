-- Optimisers: a kind and its hyperparameters, which are scalars of the generated code: changing
-- one recompiles nothing. Formulas are in passes/optimize.c.

local core = ...
local check = require "kd.check"
local Optimizer = check.class("optimizer")
local optimizer = {}

-- hypers: { name, default } in the order in which they are kept.
local function define(name, hypers, flags)
  optimizer[name] = function(options)
    local known = {}
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
    if o.nesterov and o.momentum == 0 then
      core.fail("kd.sgd: 'nesterov' needs a 'momentum' above 0")
    end
    return setmetatable(result, Optimizer)
  end
end

define("sgd", { { "lr", 0.01 }, { "momentum", 0.0 }, { "weight_decay", 0.0 } }, { nesterov = true })
define("adam", { { "lr", 1e-3 }, { "beta1", 0.9 }, { "beta2", 0.999 }, { "eps", 1e-8 },
  { "weight_decay", 0.0 } })
define("adamw", { { "lr", 1e-3 }, { "beta1", 0.9 }, { "beta2", 0.999 }, { "eps", 1e-8 },
  { "weight_decay", 0.01 } })
define("adadelta", { { "lr", 1.0 }, { "rho", 0.95 }, { "eps", 1e-6 } })
define("rmsprop", { { "lr", 1e-3 }, { "rho", 0.99 }, { "eps", 1e-8 } })

return optimizer
