-- A teacher of one step, whose logits of all images take long.
local kd = require "kd"
local data = kd.data.fashion_mnist()
local teacher = kd.network("teacher", data.input, function(x)
  x = kd.relu(kd.conv2d(x, 64, { kernel = 5 }))
  x = kd.relu(kd.conv2d(x, 64, { kernel = 5 }))
  return kd.linear(kd.flatten(kd.max_pool(x, 4)), 10)
end)
local student = kd.network("student", data.input, function(x)
  return kd.linear(kd.flatten(x), 10)
end)
return kd.distill {
  teacher = kd.train { network = teacher, data = data:take(64), epochs = 1 },
  student = student, data = data, loss = kd.loss.logits(), epochs = 1,
}
