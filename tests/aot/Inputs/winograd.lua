-- Convolutions of 3 x 3 and 5 x 5 with channels enough for Winograd's products, on lines of 32 and of 16.
local kd = require "kd"
local data = kd.data.fashion_mnist { train = 640, validation = 400 }
local net = kd.network("net", data.input, function(x)
  x = kd.relu(kd.conv2d(x, 16, { kernel = 3, padding = 3 })) -- 28 become 32
  x = kd.max_pool(kd.relu(kd.conv2d(x, 24, { kernel = 3, padding = 1 })), 2)
  x = kd.relu(kd.conv2d(x, 20, { kernel = 5, padding = 2 }))
  return kd.linear(kd.flatten(x), 10)
end)
return kd.train { network = net, data = data, epochs = 1 }
