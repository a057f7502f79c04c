-- Initialisers: what a layer's weights are before training. The layer fills in fan_in and fan_out.

local core = ...
local check = require "kd.check"
local Initial = check.class("initialiser")
local initial = {}

-- he: variance 2 / fan_in; glorot: 2 / (fan_in + fan_out); normal or uniform of that variance.
-- fan_uniform: between -1 and 1 over the root of fan_in, as PyTorch starts weights and biases.
for _, kind in ipairs { "he_normal", "he_uniform", "glorot_normal", "glorot_uniform", "fan_uniform" } do
  initial[kind] = function() return check.seal({ name = kind }, Initial) end
end

function initial.constant(value)
  if type(value) ~= "number" or value - value ~= 0 then
    core.fail(("kd.init.constant: a finite number is needed, not %s"):format(check.describe(value)))
  end
  return check.seal({ name = "constant", value = value }, Initial)
end

function initial.zeros() return initial.constant(0) end

return initial
