-- Sau & Balasubramanian 2016 on Fashion-MNIST, which the paper does not have: LeNet teaches the main
-- job's student 784-256-10, from five seeds, by clean logits (the baseline) and noisy ones at three σ;
-- `hard` sees 2,000 labels alone. σ is to be chosen on validation. 26 runs, some ten minutes.
--     kdc models/fashion_noisy.lua --jit [--set seeds=2] [--epochs 2]
local kd = require "kd"
local students = require "lib.students"
local data = kd.data.fashion_mnist()
local student = kd.network("student", data.input, students.mlp { 256 })
local teacher = kd.train {
  network = kd.network("teacher", data.input, require "lib.lenet"), data = data,
  optimizer = kd.adam { lr = 1e-3 }, schedule = kd.schedule.cosine {}, batch = 64, epochs = 6, seed = 1,
}
local adam, falling = kd.adam { lr = 3e-3 }, kd.schedule.cosine { warmup = 0.5 }

local function distill(noise)
  return kd.distill { teacher = teacher, student = student, data = data, noise = noise, optimizer = adam,
                      schedule = falling, batch = 64, epochs = 10, patience = 10 }
end

return kd.study {
  over = { sigma = { 0.1, 0.3, 0.6 } }, seeds = math.floor(kd.param("seeds", 5)),
  baseline = function() return distill(nil) end,
  also = { hard = function()
    return kd.train { network = student, data = data:take(2000), optimizer = adam, schedule = falling,
                      batch = 64, epochs = 60, patience = 10 }
  end },
  run = function(p) return distill(kd.noise { sigma = p.sigma, alpha = kd.param("alpha", 0.15) }) end,
}
