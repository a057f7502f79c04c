-- Few steps that take long; with --set taught=1, a teacher of one step whose logits take long.
local kd = require "kd"
local data = kd.data.fashion_mnist()
local net = kd.network("net", data.input, function(x)
  x = kd.relu(kd.conv2d(x, 64, { kernel = 5 }))
  x = kd.relu(kd.conv2d(x, 64, { kernel = 5 }))
  return kd.linear(kd.flatten(kd.max_pool(x, 4)), 10)
end)
if kd.param("taught", 0) == 0 then
  return kd.train { network = net, data = data, batch = 1024, epochs = 9, seed = 1 }
end
local student = kd.network("student", data.input, function(x) return kd.linear(kd.flatten(x), 10) end)
return kd.distill {
  teacher = kd.train { network = net, data = data:take(64), epochs = 1 },
  student = student, data = data, loss = kd.loss.logits(), epochs = 1,
}
