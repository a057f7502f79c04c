-- Hinton, Vinyals, Dean 2015: MNIST, 784-1200-1200-10 with dropout teaches 784-800-800-10 at T = 20, and
-- 784-30-30-10 over several temperatures. The paper has 67 errors for the teacher (with jittered
-- images and a weight constraint, which are absent here), 146 for the plain student, 74 with soft
-- targets, T = 2.5 to 4 best for 30 units. Row small_25 is T = 2.5. An hour or more in all.
--     kdc models/mnist_hinton.lua --jit --data DIR [--epochs 30] [--limit 5000]
local kd = require "kd"
local sweep, students = require "lib.sweep", require "lib.students"
local data = kd.data.mnist { validation = 10000 }
local epochs = kd.param("epochs", 60)
local teacher = sweep.train(
  kd.network("teacher", data.input, students.mlp({ 1200, 1200 }, 0.5)), data, epochs)
local wide = kd.network("wide", data.input, students.mlp { 800, 800 })
local small = kd.network("small", data.input, students.mlp { 30, 30 })

local function soft(student, temperature)
  return kd.distill { teacher = teacher, student = student, data = data, batch = 64, seed = 1,
    loss = kd.loss.kl { temperature = temperature }
      + kd.param("hard_weight", 0.1) * kd.loss.cross_entropy(),
    optimizer = kd.adam { lr = kd.param("lr", 1e-3) }, epochs = epochs, patience = 10 }
end

local list = {
  { "teacher", teacher }, { "plain", sweep.train(wide, data, epochs) }, { "soft", soft(wide, 20) },
  { "plain_small", sweep.train(small, data, epochs) },
}
for _, t in ipairs { 1, 2.5, 4, 8, 20 } do
  list[#list + 1] = { ("small_%02d"):format(math.floor(10 * t)), soft(small, t) }
end
return kd.runs(list)
