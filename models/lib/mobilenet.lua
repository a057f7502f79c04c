-- A small network of MobileNet's kind (Howard et al. 2017): depthwise 3 x 3 convolutions mix space, 1 x 1
-- convolutions mix channels, each with a batch normalisation behind it. `width` scales all channels.
local kd = require "kd"

local function conv(x, channels, options)
  options.bias = false
  return kd.relu(kd.batch_norm(kd.conv2d(x, channels, options)))
end

return function(width)
  local function channels(n) return math.max(8, math.floor(n * width)) end
  local function block(x, out, stride)
    local n = x.shape[2]
    x = conv(x, n, { kernel = 3, stride = stride, padding = 1, groups = n })
    return conv(x, out, { kernel = 1 })
  end
  return function(x)
    x = conv(x, channels(32), { kernel = 3, padding = 1 })
    x = block(x, channels(64), 1)
    x = block(block(x, channels(128), 2), channels(128), 1)
    x = block(block(x, channels(256), 2), channels(256), 1)
    return kd.linear(kd.global_avg_pool(x), 10)
  end
end
