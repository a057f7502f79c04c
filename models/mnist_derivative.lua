-- Papamakarios 2015, "Distilling Model Knowledge", chapter on derivative matching: MNIST. Thirty bagged
-- 784-500-300-10 nets, the arithmetic mean of whose distributions is what is taught, teach 784-50-30-10 by
-- soft targets, by the derivatives of the log-probabilities with respect to the image, and by both, the
-- derivatives with weight λ / 784. AdaDelta (0.95, 1e-6), batches of 20. To expect: a student of both that is
-- nearer to its teachers than that of soft targets alone, most of all on few images (--limit 1000). Column
-- `agrees` shows it with --set teachers=1 alone: it compares with a single teacher. Ten gradients through thirty
-- teachers are part of every step, so this takes a day on two cores; --set teachers=5 takes a sixth of it.
--     kdc models/mnist_derivative.lua --jit --data DIR [--epochs 20] [--limit 1000] [--set teachers=2]
local kd = require "kd"
local students = require "lib.students"
local data = kd.data.mnist { validation = 10000 }
local adadelta, epochs = kd.adadelta { rho = 0.95, eps = 1e-6 }, kd.param("epochs", 50)
local student = kd.network("student", data.input, students.mlp { 50, 30 })
local pixels = 28 * 28

local teachers = {}
for k = 1, math.floor(kd.param("teachers", 30)) do
  teachers[k] = kd.train {
    network = kd.network("teacher_" .. k, data.input, students.mlp { 500, 300 }), data = data, resample = true,
    optimizer = adadelta, batch = 20, epochs = epochs, patience = 10, seed = k,
  }
end

local function distill(loss)
  return kd.distill { teacher = teachers, combine = kd.ensemble.arithmetic(), student = student, data = data,
                      loss = loss, optimizer = adadelta, batch = 20, epochs = epochs, patience = 10, seed = 1 }
end

return kd.runs {
  { "plain", kd.train { network = student, data = data, optimizer = adadelta, batch = 20, epochs = epochs,
                        patience = 10, seed = 1 } },
  { "soft", distill(kd.loss.kl()) },
  { "derivatives", distill(kd.loss.derivatives()) },
  { "both", distill(kd.loss.kl() + kd.param("lambda", 1) / pixels * kd.loss.derivatives()) },
}
