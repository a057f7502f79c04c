-- Sau & Balasubramanian 2016: CIFAR-10, the mean of two teachers' logits, a network in network and an
-- AlexNet variant. The paper has 8.4 and 13.99 % for the teachers, 20.44 % for the student of both
-- against 21.94 % for that of the first alone. Images are not mirrored here. Hours per run on a CPU.
--     kdc models/cifar10_two_teachers.lua --jit --data DIR [--epochs 20] [--limit 5000]
local kd = require "kd"
local sweep, students = require "lib.sweep", require "lib.students"
local data = kd.data.cifar10 { normalize = "mean" }
local epochs = kd.param("epochs", 30)
local student = kd.network("student", data.input, students.conv(students.cifar10, {}))
local nin = sweep.train(kd.network("nin", data.input, require "lib.nin"), data, epochs)
local alexnet = sweep.train(kd.network("alexnet", data.input, require "lib.alexnet"), data, epochs)

local function from(teacher)
  return sweep.distill { teacher = teacher, student = student, data = data, epochs = epochs }
end

return kd.runs {
  { "first", nin }, { "second", alexnet }, { "from_first", from(nin) },
  { "from_both", from { nin, alexnet } },
}
