-- Sau & Balasubramanian 2016, table 6: CIFAR-10, three students of 61, 11 and 6.7 million
-- multiplications under a teacher of 223 million; clean and noisy. The paper has 19.36 -> 15.65 %,
-- 22.36 -> 19.28 % and 23.83 -> 21.01 %. Images are mirrored with --set mirror=1. Hours per run on a CPU.
--     kdc models/cifar10_compress.lua --jit --data DIR [--epochs 20] [--limit 5000]
local kd = require "kd"
local cifar10, students = require "lib.cifar10", require "lib.students"

local list = { { "teacher", cifar10.teacher } }
for k, kernels in ipairs(students.compressed) do
  local student = cifar10.student("student_" .. k, kernels)
  list[#list + 1] = { "clean_" .. k, cifar10.distill(student, cifar10.teacher) }
  list[#list + 1] = { "noisy_" .. k, cifar10.distill(student, cifar10.teacher,
    kd.noise { sigma = kd.param("sigma", 0.6), alpha = kd.param("alpha", 0.5) }) }
end
return kd.runs(list)
