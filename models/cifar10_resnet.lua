-- Beyond the papers: ResNet-20 (He et al. 2016, section 4.2, 91.25 % on CIFAR-10 after 164 epochs) on mirrored and
-- shifted images teaches a network of MobileNet's kind by its probabilities at T = 4 and the labels. The
-- teacher sees what the student sees, so it runs in every step. About 25 s an epoch of the teacher on one core
-- of an AVX-512 machine per 5,000 images.
--     kdc models/cifar10_resnet.lua --jit --data DIR [--epochs 2] [--limit 1000]
local kd = require "kd"
local mobilenet = require "lib.mobilenet"
local data = kd.data.cifar10 { normalize = "channel" }
local epochs = kd.param("epochs", 164)

local teacher = kd.network("resnet20", data.input, require "lib.resnet20")
local student = kd.network("mobile", data.input, mobilenet(0.5))
local sgd = kd.sgd { lr = kd.param("lr", 0.1), momentum = 0.9, weight_decay = 1e-4,
                     groups = { { params = "bn*", weight_decay = 0 } } }
local shared = { data = data, optimizer = sgd, schedule = kd.schedule.cosine(), batch = 128,
                 epochs = epochs, augment = kd.augment { mirror = true, crop = 4 }, seed = 1 }

local function with(more)
  for key, value in pairs(shared) do more[key] = value end
  return more
end
local teach = kd.train(with { network = teacher })
local label = kd.loss.cross_entropy()

return kd.runs {
  { "resnet20", teach },
  { "hard", kd.train(with { network = student, loss = label }) },
  { "taught", kd.distill(with { teacher = teach, student = student,
                                loss = 0.1 * label + 0.9 * kd.loss.kl { temperature = 4 } }) },
}
