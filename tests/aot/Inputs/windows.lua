-- Convolutions whose products of bytes are cut in each way: taps of a window, channels in groups, depthwise.
local kd = require "kd"
local data = kd.data.fashion_mnist { train = 600, validation = 400 }
local net = kd.network("net", data.input, function(x)
  x = kd.max_pool(kd.relu(kd.conv2d(x, 8, { kernel = 5, padding = 2 })), 2)
  x = kd.tanh(kd.conv2d(x, 8, { kernel = 3, padding = 1, groups = 2 }))
  x = kd.tanh(kd.conv2d(x, 8, { kernel = 3, padding = 1, groups = 8 }))
  x = kd.max_pool(kd.tanh(kd.conv2d(x, 6, { kernel = 3, padding = 1 })), 2)
  return kd.linear(kd.flatten(x), 10)
end)
return kd.train { network = net, data = data, epochs = 2 }
