-- Few steps that take long.
local kd = require "kd"
local data = kd.data.fashion_mnist()
local net = kd.network("net", data.input, function(x)
  x = kd.relu(kd.conv2d(x, 64, { kernel = 5 }))
  x = kd.relu(kd.conv2d(x, 64, { kernel = 5 }))
  return kd.linear(kd.flatten(kd.max_pool(x, 4)), 10)
end)
return kd.train { network = net, data = data, batch = 1024, epochs = 9, seed = 1 }
