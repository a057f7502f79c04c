-- ResNet-20 for CIFAR-10 (He, Zhang, Ren, Sun 2016, section 4.2): three stages of three blocks on 32, 16
-- and 8 pixels, shortcuts without parameters (their option A; where the image halves, ours averages).
local kd = require "kd"

local function conv(x, channels, stride)
  return kd.batch_norm(kd.conv2d(x, channels, { kernel = 3, stride = stride, padding = 1, bias = false,
                                                init = kd.init.he_normal() }))
end

local function block(x, channels, stride)
  return kd.relu(kd.residual(x, function(y)
    return conv(kd.relu(conv(y, channels, stride)), channels, 1)
  end, { shortcut = "pool" }))
end

return function(x)
  x = kd.relu(conv(x, 16, 1))
  for _, channels in ipairs { 16, 32, 64 } do
    x = block(x, channels, channels > 16 and 2 or 1)
    x = block(block(x, channels, 1), channels, 1)
  end
  return kd.linear(kd.global_avg_pool(x), 10)
end
