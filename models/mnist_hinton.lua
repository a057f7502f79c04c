-- Hinton, Vinyals, Dean 2015, section 3: MNIST. 784-1200-1200-10 with dropout, images jittered by up to two
-- pixels and the norm of a unit's weights bounded teaches 784-800-800-10 at T = 20, and 784-30-30-10 over
-- several temperatures (small_25 is T = 2.5); `without_3` sees the same soft targets of images of which none
-- is a 3, and `corrected_3` is the same student whose bias of class 3 is raised by 3.5 where it infers. The
-- paper has 67 errors for the teacher, 146 for the plain student, 74 with soft targets, T = 2.5 to 4 best for
-- 30 units, 206 errors without 3s, 133 of them on 3s, and 109 with the bias. Which digits a student confuses
-- tells --eval out/mnist_hinton/corrected_3/best.safetensors --run corrected_3. At most 60 epochs a run, at
-- least 30; about an hour in all on two cores, most of it the teacher's and the wide students'. With
-- --set seeds=10 it is a study instead: 784-800-800-10 at T = 20 against the plain net, so many of each.
--     kdc models/mnist_hinton.lua --jit --data DIR [--epochs 30] [--limit 5000]
local kd = require "kd"
local sweep, students = require "lib.sweep", require "lib.students"
local data = kd.data.mnist { validation = 10000 }
local epochs, lr = kd.param("epochs", 60), kd.param("lr", 1e-3)

local teacher = kd.train {
  network = kd.network("teacher", data.input, students.mlp({ 1200, 1200 }, 0.5)), data = data, batch = 64,
  optimizer = kd.adam { lr = lr, max_norm = kd.param("max_norm", 4) }, augment = kd.augment { crop = 2 },
  schedule = kd.schedule.cosine { warmup = 1 }, epochs = epochs, seed = 1,
}
local wide_body = students.mlp { 800, 800 }
local wide = kd.network("wide", data.input, wide_body)
local corrected = kd.network("corrected", data.input, function(x)
  return kd.bias_correction(wide_body(x), { [3] = kd.param("bias", 3.5) })
end)
local small = kd.network("small", data.input, students.mlp { 30, 30 })

local function soft(student, temperature, seen)
  return kd.distill { teacher = teacher, student = student, data = seen or data, batch = 64,
    loss = kd.loss.kl { temperature = temperature }
      + kd.param("hard_weight", 0.1) * kd.loss.cross_entropy(),
    optimizer = kd.adam { lr = lr }, epochs = epochs, patience = 10, min_epochs = 30 }
end

local seeds = math.floor(kd.param("seeds", 0))
if seeds > 0 then
  return kd.study {
    over = { temperature = { 20 } }, seeds = seeds,
    baseline = function() return sweep.train(wide, data, epochs) end,
    run = function(p) return soft(wide, p.temperature) end,
  }
end

local list = {
  { "teacher", teacher }, { "plain", sweep.train(wide, data, epochs) }, { "soft", soft(wide, 20) },
  { "without_3", soft(wide, 20, data:without { 3 }) },
  { "corrected_3", soft(corrected, 20, data:without { 3 }) },
  { "plain_small", sweep.train(small, data, epochs) },
}
for _, t in ipairs { 1, 2.5, 4, 8, 20 } do
  list[#list + 1] = { ("small_%02d"):format(math.floor(10 * t)), soft(small, t) }
end
return kd.runs(list)
