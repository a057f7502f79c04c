-- What --set changes without being a hyperparameter of the program: for settings.test.
local kd = require "kd"
local data = kd.data.fashion_mnist()
local act = kd.param("tanh", 0) == 1 and kd.tanh or kd.relu

local teacher = kd.network("teacher", data.input, function(x)
  return kd.linear(kd.dropout(kd.relu(kd.linear(kd.flatten(x), 16)), kd.param("dropout", 0.25)), 10)
end)
local student = kd.network("student", data.input, function(x)
  return kd.linear(act(kd.linear(kd.flatten(x), kd.param("width", 8))), 10)
end)
local mirror = kd.param("mirror", 0) == 1 and kd.augment { mirror = true } or nil

local teach = kd.train { network = teacher, data = data }
local function distill(scale)
  return kd.distill { teacher = teach, student = student, data = data, augment = mirror,
                      loss = function(s, t) return scale * kd.sum((s - t) ^ 2, 2) end }
end
return kd.study {
  over = { scale = { 0.5 } }, seeds = 2,
  baseline = function() return distill(1) end,
  run = function(p) return distill(p.scale) end,
}
