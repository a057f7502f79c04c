-- Sau & Balasubramanian 2016, table 3: CIFAR-10, a network in network teaches a student of two
-- convolutions; σ = 0.1 … 1.0 on half of the samples. The paper has 8.4 % for the teacher, 21.94 % for
-- the clean student, 21.04 to 18.68 % with noise. It mirrors images, as --set
-- mirror=1 does, less the mean of each pixel. On two cores the teacher takes some 4 minutes an
-- epoch, a student 1; --set sigma=0.9 --set labels=0 leaves one σ and the baseline.
--     kdc models/cifar10_noisy.lua --jit --data DIR [--epochs 20] [--limit 5000]
local kd = require "kd"

return require "lib.cifar10".sweep("sigma", function(sigma)
  return kd.noise { sigma = sigma, alpha = kd.param("alpha", 0.5) }
end)
