-- Fusing and planning change no value: the step, interpreted before fuse, behind it, and with one
-- kernel an instruction, prints the same; and so does machine code of the latter two, with
-- buffers that share memory and with each buffer apart. Names of results aside.
-- RUN: kdc %s --run noisy --passes="canonicalize,inject-noise,hoist-teacher,autodiff,optimize,canonicalize{drop_detach=1}" --emit=kir -o %t.tensor.kir
-- RUN: kdc %s --run teacher --passes="canonicalize,autodiff,optimize,canonicalize{drop_detach=1}" --emit=kir -o %t.teacher.kir
-- RUN: kdc opt %t.tensor.kir --passes=fuse,plan-memory -o %t.fused.kir
-- RUN: kdc opt %t.tensor.kir --passes="fuse{merge=0},plan-memory" -o %t.single.kir
-- RUN: kdc opt %t.tensor.kir --passes="fuse,plan-memory{redzone=256}" -o %t.apart.kir
-- RUN: kdc opt %t.teacher.kir --passes=fuse,plan-memory -o %t.teacher.fused.kir
-- RUN: kdc run %t.tensor.kir --fn step --interpret | grep -v '^%%' > %t.tensor.out
-- RUN: kdc run %t.fused.kir --fn step --interpret | grep -v '^%%' > %t.fused.out
-- RUN: kdc run %t.single.kir --fn step --interpret | grep -v '^%%' > %t.single.out
-- RUN: diff %t.tensor.out %t.fused.out
-- RUN: diff %t.tensor.out %t.single.out
-- RUN: kdc run %t.teacher.kir --fn step --interpret | grep -v '^%%' > %t.teacher.out
-- RUN: kdc run %t.teacher.fused.kir --fn step --interpret | grep -v '^%%' | diff %t.teacher.out -
-- RUN: kdc run %t.fused.kir --fn step > %t.jit.out
-- RUN: kdc run %t.single.kir --fn step | diff %t.jit.out -
-- RUN: kdc run %t.apart.kir --fn step | diff %t.jit.out -
local kd = require "kd"
local data = kd.data.fashion_mnist()
local teacher = kd.network("teacher", data.input, function(x)
  x = kd.max_pool(kd.relu(kd.conv2d(x, 3, { kernel = 5, stride = 3 })), 2)
  return kd.linear(kd.tanh(kd.linear(kd.flatten(x), 7)), 10)
end)
local student = kd.network("student", data.input, function(x)
  x = kd.max_pool(kd.relu(kd.conv2d(x, 2, { kernel = 3, stride = 4 })), 3, { stride = 2 })
  x = kd.dropout(x, 0.3)
  return kd.linear(kd.relu(kd.linear(kd.flatten(x), 6)), 10)
end)
local teach = kd.train { network = teacher, data = data, loss = kd.loss.cross_entropy(),
  optimizer = kd.sgd { lr = 0.1, momentum = 0.9, nesterov = true, weight_decay = 0.01 }, batch = 8, epochs = 1, seed = 1 }
return kd.runs {
  { "teacher", teach },
  { "noisy", kd.distill { teacher = teach, student = student, data = data, loss = kd.loss.kl { temperature = 4 },
     noise = kd.noise { kind = "multiplicative", sigma = kd.param("sigma", 0.6), alpha = kd.param("alpha", 0.5) },
     optimizer = kd.adam { lr = 1e-3 }, batch = 8, epochs = 1, seed = 1 } },
}
