-- LeNet with 20 and 50 kernels and a layer of 500: the MNIST teacher of Sau & Balasubramanian 2016.
local kd = require "kd"

return function(x)
  x = kd.max_pool(kd.relu(kd.conv2d(x, 20, { kernel = 5 })), 2)
  x = kd.max_pool(kd.relu(kd.conv2d(x, 50, { kernel = 5 })), 2)
  return kd.linear(kd.relu(kd.linear(kd.flatten(x), 500)), 10)
end
