-- What kd-bench-contract trains: the networks of the benchmark, and one for the corners of contractions:
-- large weights, planes that are smaller than a vector, rows a power of two long.
local kd = require "kd"
local bodies = require "bodies"
local mnist = bodies.images("mnist", 1, 28, 28)
local cifar = bodies.images("cifar", 3, 32, 32)

local function run(name, data, body)
  return { name, kd.train { network = kd.network(name, data.input, body), data = data,
                            loss = kd.loss.cross_entropy(), batch = 128, epochs = 1, seed = 1,
                            optimizer = kd.sgd { lr = 1e-4, momentum = 0.9 } } }
end

local function conv(x) return kd.relu(kd.conv2d(x, 256, { kernel = 3, padding = 1 })) end

local function wide(x)
  x = conv(kd.max_pool(conv(conv(kd.max_pool(x, 4))), 4))
  return kd.linear(kd.relu(kd.linear(kd.flatten(x), 1024)), 10)
end

return kd.runs {
  run("lenet", mnist, bodies.lenet),
  run("mlp800", mnist, bodies.mlp(800)),
  run("svhn_student", cifar, bodies.convolutional(32, 64, 3)),
  run("cifar_student", cifar, bodies.convolutional(64, 128, 2)),
  run("nin", cifar, bodies.nin),
  run("mobile", cifar, bodies.mobile),
  run("resnet20", cifar, bodies.resnet20),
  run("wide", cifar, wide),
}
