-- Sau & Balasubramanian 2016, table 2: SVHN, a network in network teaches a student of two
-- convolutions; σ = 0.1 … 1.0 on 15 % of the samples. The paper has 3.82 % for the teacher, 4.6 % for
-- the clean student, 4.45 to 4.81 % with noise, on train + extra after local contrast normalisation. Here it
-- is the train set (1.2 GB of memory), with --set extra=1 both (12 GB). Hours per run on a CPU.
--     kdc models/svhn_noisy.lua --jit --data DIR [--epochs 10] [--limit 5000]
local kd = require "kd"
local sweep, students = require "lib.sweep", require "lib.students"
local extra = require "lib.flag"("extra", false)
local data = kd.data.svhn(sweep.sizes({ normalize = "local", extra = extra }, 5000, 26032))
local epochs = kd.param("epochs", 30)
local teacher = kd.network("teacher", data.input, require "lib.nin")

return sweep.study {
  axis = "sigma",
  teacher = sweep.train(teacher, data, epochs),
  student = kd.network("student", data.input, students.conv(students.svhn, { pool = 3 })),
  data = data, epochs = epochs,
  noise = function(sigma) return kd.noise { sigma = sigma, alpha = kd.param("alpha", 0.15) } end,
}
