-- Sau & Balasubramanian 2016, table 1: MNIST, a LeNet teaches 784-800-800-10 by its logits, noisy
-- with σ = 0.1 … 1.0 on 15 % of the samples. The paper has 68 errors for the teacher, 97 for the
-- clean student, 86 to 96 with noise, all single runs: differences of ten errors lie within the
-- test set's sampling error. At most 60 epochs a run, at least 30; 12 configurations times five seeds
-- (--set seeds=10 for ten), some 2.5 minutes each on one core.
--     kdc models/mnist_noisy.lua --jit --data DIR [--epochs 30] [--limit 5000]
local kd = require "kd"
local sweep, students = require "lib.sweep", require "lib.students"
local data = kd.data.mnist { validation = 10000 }
local epochs = kd.param("epochs", 60)
local teacher = kd.network("teacher", data.input, require "lib.lenet")

return sweep.study {
  axis = "sigma",
  teacher = sweep.train(teacher, data, epochs),
  student = kd.network("student", data.input, students.mlp { 800, 800 }),
  data = data, epochs = epochs,
  noise = function(sigma) return kd.noise { sigma = sigma, alpha = kd.param("alpha", 0.15) } end,
}
