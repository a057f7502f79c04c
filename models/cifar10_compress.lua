-- Sau & Balasubramanian 2016, table 6: CIFAR-10, three students of 61, 11 and 6.7 million
-- multiplications under a teacher of 223 million; clean and noisy. The paper has 19.36 -> 15.65 %,
-- 22.36 -> 19.28 % and 23.83 -> 21.01 %. Images are not mirrored here. Hours per run on a CPU.
--     kdc models/cifar10_compress.lua --jit --data DIR [--epochs 20] [--limit 5000]
local kd = require "kd"
local cifar10, sweep, students = require "lib.cifar10", require "lib.sweep", require "lib.students"

local list = { { "teacher", cifar10.teacher } }
for k, kernels in ipairs(students.compressed) do
  local o = { teacher = cifar10.teacher, data = cifar10.data, epochs = cifar10.epochs,
    student = cifar10.student("student_" .. k, kernels) }
  list[#list + 1] = { "clean_" .. k, sweep.distill(o, nil) }
  list[#list + 1] = { "noisy_" .. k, sweep.distill(o,
    kd.noise { sigma = kd.param("sigma", 0.6), alpha = kd.param("alpha", 0.5) }) }
end
return kd.runs(list)
