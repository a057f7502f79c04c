-- Sau & Balasubramanian 2016, table 4: CIFAR-10 at σ = 0.6, the probability α that a sample is
-- perturbed from 0.1 to 1. The paper has 20.14 % at 0.1 and 18.93 to 19.05 % from 0.6 on. Images are mirrored
-- with --set mirror=1. Hours per run on a CPU.
--     kdc models/cifar10_alpha.lua --jit --data DIR [--epochs 20] [--limit 5000]
local kd = require "kd"

return require "lib.cifar10".sweep("alpha", function(alpha)
  return kd.noise { sigma = kd.param("sigma", 0.6), alpha = alpha }
end)
