-- Sau & Balasubramanian 2016: CIFAR-10, the mean of two teachers' logits, a network in network and an
-- AlexNet variant. The paper has 8.4 and 13.99 % for the teachers, 20.44 % for the student of both
-- against 21.94 % for that of the first alone. Images are mirrored with --set mirror=1. Hours per run on a CPU.
--     kdc models/cifar10_two_teachers.lua --jit --data DIR [--epochs 20] [--limit 5000]
local kd = require "kd"
local cifar10, sweep, students = require "lib.cifar10", require "lib.sweep", require "lib.students"
local nin = cifar10.teacher
local student = cifar10.student("student", students.cifar10)
local alexnet = sweep.train(kd.network("alexnet", cifar10.data.input, require "lib.alexnet"), cifar10.data,
                            cifar10.epochs, cifar10.augment)

return kd.runs {
  { "first", nin }, { "second", alexnet }, { "from_first", cifar10.distill(student, nin) },
  { "from_both", cifar10.distill(student, { nin, alexnet }) },
}
