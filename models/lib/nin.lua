-- Network in network (Lin, Chen, Yan 2014) for 32 x 32 images, ten classes. Its poolings round
-- up, 32 -> 16 -> 8, so that the last one averages a whole 8 x 8 map per class.
local kd = require "kd"

local function conv(x, channels, kernel)
  return kd.relu(kd.conv2d(x, channels, { kernel = kernel, padding = kernel // 2 }))
end

return function(x)
  x = conv(conv(conv(x, 192, 5), 160, 1), 96, 1)
  x = kd.dropout(kd.max_pool(x, 3, { stride = 2, ceil = true }), 0.5)
  x = conv(conv(conv(x, 192, 5), 192, 1), 192, 1)
  x = kd.dropout(kd.avg_pool(x, 3, { stride = 2, ceil = true }), 0.5)
  x = conv(conv(conv(x, 192, 3), 192, 1), 10, 1)
  return kd.global_avg_pool(x)
end
