-- A small study for study.test.
local kd = require "kd"
local data = kd.data.fashion_mnist()

local function mlp(units)
  return function(x) return kd.linear(kd.relu(kd.linear(kd.flatten(x), units)), 10) end
end
local teacher = kd.train { network = kd.network("teacher", data.input, mlp(24)), data = data, epochs = 2 }
local student = kd.network("student", data.input, mlp(8))

local function distill(noise)
  return kd.distill { teacher = teacher, student = student, data = data, noise = noise, epochs = 2 }
end
return kd.study {
  over = { sigma = { 0.5, 1 } }, seeds = 3,
  baseline = function() return distill(nil) end,
  run = function(p) return distill(kd.noise { sigma = p.sigma, alpha = 0.5 }) end,
}
