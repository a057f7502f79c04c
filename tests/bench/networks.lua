-- What ./dev bench trains: networks of Sau & Balasubramanian 2016 (arXiv 1610.09650) and
-- ResNet-20 and a small MobileNet, each by noisy logit regression. The peers in peers/ hold the same
-- ones.
--   kdc tests/bench/networks.lua     their parameters and multiplications
local kd = require "kd"
local bodies = require "bodies"

local adam = kd.param("adam", 0)      -- 1: Adam in place of SGD with momentum
local width = kd.param("width", 800)  -- of mlp800
local paper = kd.param("teacher", 0)  -- 1: the paper's teachers; 0: a linear one, quick to compile

local mnist = bodies.images("mnist", 1, 28, 28)
local cifar = bodies.images("cifar", 3, 32, 32)

local function linear(x)
  return kd.linear(kd.flatten(x), 10)
end

local function teacher(name, data, body)
  return kd.train { network = kd.network(name, data.input, paper == 1 and body or linear),
                    data = data }
end
local small = teacher("mnist_teacher", mnist, bodies.lenet)
local large = teacher("cifar_teacher", cifar, bodies.nin)

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
local student = define("student", mnist, bodies.student)
local mlp30 = define("mlp30", mnist, bodies.mlp(30))
local mlp800 = define("mlp800", mnist, bodies.mlp(width))

return kd.runs {
  run("student", mnist, small, student),
  run("mlp30", mnist, small, mlp30),
  run("mlp800", mnist, small, mlp800),
  run("lenet", mnist, small, define("lenet", mnist, bodies.lenet)),
  run("svhn_student", cifar, large, define("svhn_student", cifar, bodies.convolutional(32, 64, 3))),
  run("cifar_student", cifar, large, define("cifar_student", cifar, bodies.convolutional(64, 128, 2))),
  run("nin", cifar, large, define("nin", cifar, bodies.nin)),
  run("resnet20", cifar, large, define("resnet20", cifar, bodies.resnet20)),
  run("mobilenet", cifar, large, define("mobilenet", cifar, bodies.mobilenet)),
}
