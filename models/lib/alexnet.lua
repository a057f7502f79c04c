-- The AlexNet variant that is the second teacher of Sau & Balasubramanian 2016 on CIFAR-10.
local kd = require "kd"

local function conv(x, channels, kernel)
  return kd.relu(kd.conv2d(x, channels, { kernel = kernel, padding = kernel // 2 }))
end

local function pool(x) return kd.max_pool(x, 3, { stride = 2, ceil = true }) end

return function(x)
  x = pool(conv(x, 96, 5))
  x = pool(conv(x, 256, 5))
  x = pool(conv(conv(conv(x, 384, 3), 384, 3), 256, 3))
  x = kd.dropout(kd.relu(kd.linear(kd.flatten(x), 2048)), 0.5)
  x = kd.dropout(kd.relu(kd.linear(x, 2048)), 0.5)
  return kd.linear(x, 10)
end
