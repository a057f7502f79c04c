-- Sau & Balasubramanian 2016, figure 2: CIFAR-10, the same noise in the student's logits in place of
-- the teacher's, σ = 0.1 … 1.0 on half of the samples. It helps less: about 19.4 % at best. Images
-- are mirrored with --set mirror=1. Hours per run on a CPU.
--     kdc models/cifar10_student_noise.lua --jit --data DIR [--epochs 20] [--limit 5000]
local kd = require "kd"

return require "lib.cifar10".sweep("sigma", function(sigma)
  return kd.noise { site = "student", sigma = sigma, alpha = kd.param("alpha", 0.5) }
end)
