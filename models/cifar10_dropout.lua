-- Sau & Balasubramanian 2016, table 5: CIFAR-10, dropout on the student's hidden layer in place of
-- noise, ratios 0.1 … 0.9. The paper has 26.48 % at 0.1, 20.41 % at 0.8 and 22.18 % at 0.9. Images
-- are mirrored with --set mirror=1. Row dropout_080 is ratio 0.8. Hours per run on a CPU.
--     kdc models/cifar10_dropout.lua --jit --data DIR [--epochs 20] [--limit 5000]
local kd = require "kd"
local cifar10, students = require "lib.cifar10", require "lib.students"

local list = { { "teacher", cifar10.teacher } }
for k = 1, 9 do
  local student = cifar10.student(("student_%02d"):format(k), students.cifar10, { dropout = k / 10 })
  list[#list + 1] = { ("dropout_%03d"):format(10 * k), cifar10.distill(student, cifar10.teacher) }
end
return kd.runs(list)
