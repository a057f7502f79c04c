-- Convolutions whose rows and columns are copied with their padding, whose strides are split into phases, and whose weights'
-- gradients are summed in parts of the batch; on make_data.py's images.
local kd = require "kd"
local data = kd.data.cifar10 { dir = ".", validation = 10, train = 40, test = 10 }

local net = kd.network("net", data.input, function(x)
  x = kd.relu(kd.conv2d(x, 16, { kernel = 3, padding = 1 }))
  x = kd.relu(kd.conv2d(x, 16, { kernel = 3, stride = 2, padding = 1 }))
  x = kd.relu(kd.conv2d(x, 16, { kernel = 5, padding = 2 }))
  return kd.linear(kd.global_avg_pool(x), 10)
end)
return kd.train {
  network = net, data = data, epochs = 2, batch = 16, seed = 3, optimizer = kd.sgd { lr = 0.05, momentum = 0.9 },
}
