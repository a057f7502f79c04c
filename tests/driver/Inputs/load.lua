-- A teacher that was trained elsewhere: its weights lie in the file teacher.safetensors beside this
-- script. The network is that of small.lua.
local kd = require "kd"
local data = kd.data.fashion_mnist()

local teacher = kd.network("teacher", data.input, function(x)
  x = kd.max_pool(kd.relu(kd.conv2d(x, 4, { kernel = 5, stride = 2 })), 2)
  return kd.linear(kd.dropout(kd.relu(kd.linear(kd.flatten(x), 24)), 0.25), 10)
end)

local student = kd.network("student", data.input, function(x)
  local start = { init = kd.init.fan_uniform(), bias_init = kd.init.fan_uniform() }
  return kd.linear(kd.relu(kd.linear(kd.flatten(x), 12, start)), 10, start)
end)

local teach = kd.load { network = teacher, weights = "teacher.safetensors", data = data }
return kd.runs {
  { "known", teach },
  { "distilled", kd.distill { teacher = teach, student = student, data = data, epochs = 1 } },
}
