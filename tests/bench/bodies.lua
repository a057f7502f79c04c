-- The networks that both benches train, as functions: those of Sau & Balasubramanian 2016 (arXiv
-- 1610.09650), a residual one and one for the corners of contractions.
local kd = require "kd"

local function conv(x, channels, kernel, stride, groups)
  return kd.relu(kd.conv2d(x, channels, { kernel = kernel, padding = kernel // 2,
                                          stride = stride or 1, groups = groups or 1 }))
end
local function pool(x, kernel)
  return kd.max_pool(x, kernel, { stride = 2, ceil = true })
end

local bodies = {}

function bodies.images(name, ...)
  return kd.data.npy { name = name, train_x = name .. "-x.npy", train_y = name .. "-y.npy",
                       input = { ... }, classes = 10, dtype = "u8" }
end

-- of models/student.lua
function bodies.student(x)
  return kd.linear(kd.relu(kd.linear(kd.flatten(x), 256)), 10)
end

function bodies.mlp(units)
  return function(x)
    x = kd.relu(kd.linear(kd.flatten(x), units))
    return kd.linear(kd.relu(kd.linear(x, units)), 10)
  end
end

function bodies.lenet(x)
  x = kd.max_pool(kd.relu(kd.conv2d(x, 20, { kernel = 5 })), 2)
  x = kd.max_pool(kd.relu(kd.conv2d(x, 50, { kernel = 5 })), 2)
  return kd.linear(kd.relu(kd.linear(kd.flatten(x), 500)), 10)
end

-- C5@first-MP-C5@second-MP-FC1024-FC10, pools of that size and stride 2
function bodies.convolutional(first, second, window)
  return function(x)
    x = pool(conv(x, first, 5), window)
    x = pool(conv(x, second, 5), window)
    return kd.linear(kd.relu(kd.linear(kd.flatten(x), 1024)), 10)
  end
end

function bodies.nin(x)
  x = pool(conv(conv(conv(x, 192, 5), 160, 1), 96, 1), 3)
  x = conv(conv(conv(kd.dropout(x, 0.5), 192, 5), 192, 1), 192, 1)
  x = kd.avg_pool(x, 3, { stride = 2, ceil = true })
  x = conv(conv(conv(kd.dropout(x, 0.5), 192, 3), 192, 1), 10, 1)
  return kd.flatten(kd.avg_pool(x, 8, { stride = 1 }))
end

-- ResNet-20 of He et al. 2016 for 32 x 32 images; where the image halves, the shortcut averages
local function normed(x, channels, stride, kernel, groups)
  kernel = kernel or 3
  return kd.batch_norm(kd.conv2d(x, channels, { kernel = kernel, stride = stride, padding = kernel // 2,
                                                groups = groups or 1, bias = false }))
end
local function block(x, channels, stride)
  return kd.relu(kd.residual(x, function(y)
    return normed(kd.relu(normed(y, channels, stride)), channels, 1)
  end, { shortcut = "pool" }))
end
function bodies.resnet20(x)
  x = kd.relu(normed(x, 16, 1))
  for _, channels in ipairs { 16, 32, 64 } do
    x = block(x, channels, channels > 16 and 2 or 1)
    x = block(block(x, channels, 1), channels, 1)
  end
  return kd.linear(kd.global_avg_pool(x), 10)
end

-- of models/lib/mobilenet.lua, at width 1
function bodies.mobilenet(x)
  x = kd.relu(normed(x, 32, 1))
  for _, to in ipairs { { 64, 1 }, { 128, 2 }, { 128, 1 }, { 256, 2 }, { 256, 1 } } do
    local channels = x.shape[2]
    x = kd.relu(normed(x, channels, to[2], 3, channels))
    x = kd.relu(normed(x, to[1], 1, 1))
  end
  return kd.linear(kd.global_avg_pool(x), 10)
end

-- 3x3, stride 2 and depthwise: what mobile and residual nets are made of
function bodies.mobile(x)
  x = conv(x, 32, 3)
  x = conv(conv(x, 32, 3, 1, 32), 64, 1)
  x = conv(conv(x, 64, 3, 2, 64), 128, 1)
  x = conv(conv(x, 128, 3, 2), 128, 3, 1, 32)
  return kd.linear(kd.flatten(kd.avg_pool(x, 8)), 10)
end

return bodies
