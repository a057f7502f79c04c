-- What the tables on CIFAR-10 share: the data, less the mean of each pixel; the network in network
-- that teaches, not trained yet; the student; and the most epochs a run may take. With --set mirror=1
-- images are mirrored at random, as in the paper: the teacher then runs in every step, ten times as long.
-- --set kept=1 takes the teacher of results/, trained for 20 epochs, in place of a new one.
local kd = require "kd"
local flag, sweep, students = require "lib.flag", require "lib.sweep", require "lib.students"
local cifar10 = {
  data = kd.data.cifar10(sweep.sizes({ normalize = "mean" }, 5000, 10000)),
  epochs = kd.param("epochs", 30),
  augment = flag("mirror", false) and kd.augment { mirror = true } or nil,
}

local nin = kd.network("teacher", cifar10.data.input, require "lib.nin")
if flag("kept", false) then
  cifar10.teacher = kd.load { network = nin, weights = "results/cifar10_teacher.safetensors", data = cifar10.data }
else
  cifar10.teacher = sweep.train(nin, cifar10.data, cifar10.epochs, cifar10.augment)
end

-- A student of that name; see students.conv.
function cifar10.student(name, kernels, options)
  return kd.network(name, cifar10.data.input, students.conv(kernels, options or {}))
end

-- A run of the student under these teachers.
function cifar10.distill(student, teacher, noise)
  return sweep.distill({ teacher = teacher, student = student, data = cifar10.data, epochs = cifar10.epochs,
                         augment = cifar10.augment }, noise)
end

-- Runs over the values of what is varied; noise = function(value) … end.
function cifar10.sweep(axis, noise)
  return sweep.study {
    axis = axis,
    teacher = cifar10.teacher, student = cifar10.student("student", students.cifar10),
    data = cifar10.data, epochs = cifar10.epochs, augment = cifar10.augment, noise = noise,
  }
end

return cifar10
