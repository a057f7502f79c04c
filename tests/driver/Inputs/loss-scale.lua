-- A convolution trained with a scaled loss, or (--set scale=0) with the loss as it is.
local kd = require "kd"
local data = kd.data.fashion_mnist()
local scale = kd.param("scale", 0)

local net = kd.network("net", data.input, function(x)
  x = kd.max_pool(kd.relu(kd.conv2d(x, 4, { kernel = 5, stride = 2 })), 2)
  return kd.linear(kd.flatten(x), 10)
end)
return kd.train {
  network = net, data = data, epochs = 1, batch = 32, seed = 3,
  optimizer = kd.adamw { lr = 2e-3, clip_norm = 0.5, accumulate = 2, loss_scale = scale > 0 and scale or nil },
}
