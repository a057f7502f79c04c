-- What ./dev bench trains: networks of Sau & Balasubramanian 2016 (arXiv 1610.09650), each by noisy
-- logit regression. peers/networks_torch.py and peers/jax_peer.py hold the same ones.
--   kdc tests/bench/networks.lua     their parameters and multiplications
local kd = require "kd"

local adam = kd.param("adam", 0)      -- 1: Adam in place of SGD with momentum
local width = kd.param("width", 800)  -- of mlp800
local paper = kd.param("teacher", 0)  -- 1: the paper's teachers; 0: a linear one, quick to compile

local function images(name, ...)
  return kd.data.npy { name = name, train_x = name .. "-x.npy", train_y = name .. "-y.npy",
                       input = { ... }, classes = 10, dtype = "u8" }
end
local mnist = images("mnist", 1, 28, 28)
local cifar = images("cifar", 3, 32, 32)

local function conv(x, channels, kernel)
  return kd.relu(kd.conv2d(x, channels, { kernel = kernel, padding = kernel // 2 }))
end
local function pool(x, kernel)
  return kd.max_pool(x, kernel, { stride = 2, ceil = true })
end

local function mlp(x, units)
  x = kd.relu(kd.linear(kd.flatten(x), units))
  return kd.linear(kd.relu(kd.linear(x, units)), 10)
end

local function lenet(x)
  x = kd.max_pool(kd.relu(kd.conv2d(x, 20, { kernel = 5 })), 2)
  x = kd.max_pool(kd.relu(kd.conv2d(x, 50, { kernel = 5 })), 2)
  return kd.linear(kd.relu(kd.linear(kd.flatten(x), 500)), 10)
end

-- C5@first-MP-C5@second-MP-FC1024-FC10, pools of that size and stride 2
local function convolutional(first, second, window)
  return function(x)
    x = pool(conv(x, first, 5), window)
    x = pool(conv(x, second, 5), window)
    return kd.linear(kd.relu(kd.linear(kd.flatten(x), 1024)), 10)
  end
end

local function nin(x)
  x = pool(conv(conv(conv(x, 192, 5), 160, 1), 96, 1), 3)
  x = conv(conv(conv(kd.dropout(x, 0.5), 192, 5), 192, 1), 192, 1)
  x = kd.avg_pool(x, 3, { stride = 2, ceil = true })
  x = conv(conv(conv(kd.dropout(x, 0.5), 192, 3), 192, 1), 10, 1)
  return kd.flatten(kd.avg_pool(x, 8, { stride = 1 }))
end

local function linear(x)
  return kd.linear(kd.flatten(x), 10)
end

local function teacher(name, data, body)
  return kd.train { network = kd.network(name, data.input, paper == 1 and body or linear),
                    data = data }
end
local small = teacher("mnist_teacher", mnist, lenet)
local large = teacher("cifar_teacher", cifar, nin)

local function run(name, data, taught_by, network)
  return { name, kd.distill {
    teacher = taught_by, student = network, data = data,
    loss = kd.loss.logits(), noise = kd.noise { kind = "multiplicative", sigma = 0.6, alpha = 0.5 },
    optimizer = adam == 1 and kd.adam { lr = 1e-4 } or kd.sgd { lr = 1e-4, momentum = 0.9 },
    batch = 128, epochs = 1, seed = 1,
  } }
end

local function define(name, data, body)
  return kd.network(name, data.input, body)
end
local mlp30 = define("mlp30", mnist, function(x) return mlp(x, 30) end)
local mlp800 = define("mlp800", mnist, function(x) return mlp(x, width) end)

return kd.runs {
  run("mlp30", mnist, small, mlp30),
  run("mlp800", mnist, small, mlp800),
  run("lenet", mnist, small, define("lenet", mnist, lenet)),
  run("svhn_student", cifar, large, define("svhn_student", cifar, convolutional(32, 64, 3))),
  run("cifar_student", cifar, large, define("cifar_student", cifar, convolutional(64, 128, 2))),
  run("nin", cifar, large, define("nin", cifar, nin)),
}
