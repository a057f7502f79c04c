-- Convolutions of 3 x 3 with channels enough for Winograd's products, on lines of 28 and of 14, or of 32 and 16.
local kd = require "kd"
local options = { train = 600, validation = 400 }
local data = kd.param("lines", 28) == 32 and kd.data.cifar10(options) or kd.data.fashion_mnist(options)
local net = kd.network("net", data.input, function(x)
  x = kd.relu(kd.conv2d(x, 16, { kernel = 3, padding = 1 }))
  x = kd.max_pool(kd.relu(kd.conv2d(x, 24, { kernel = 3, padding = 1 })), 2)
  x = kd.relu(kd.conv2d(x, 20, { kernel = 3, padding = 0 }))
  return kd.linear(kd.flatten(x), 10)
end)
return kd.train { network = net, data = data, epochs = 1 }
