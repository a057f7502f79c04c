-- RUN: kdc %s --emit=kir --passes=canonicalize | FileCheck %s
-- RUN: not kdc %s --set bad=1 2>&1 | FileCheck %s --check-prefix=BAD
-- RUN: kdc %s --emit=kir --passes=canonicalize --set drawn=1 | FileCheck %s --check-prefix=DRAWN
-- Teachers whose dropout stays on draw from streams of their own, and a weighted mean of their
-- logits; noise in the student's input leaves the teachers' alone.
local kd = require "kd"
local data = kd.data.npy { train_x = "x.npy", train_y = "y.npy", input = { 5 }, classes = 3,
  train = 100 }
local function net(name)
  return kd.network(name, data.input, function(x) return kd.linear(kd.dropout(x * 2, 0.5), 3) end)
end
local first = kd.train { network = net("first"), data = data }
local second = kd.train { network = net("second"), data = data }
local drawn = kd.param("drawn", 0) == 1
local weights = kd.param("bad", 0) == 1 and { 3 } or { 3, 1 }
return kd.distill { teacher = { first, second }, student = net("student"), data = data,
  combine = (drawn and kd.ensemble.drawn or kd.ensemble.logits) { weights = weights }, teacher_dropout = true,
  noise = kd.noise { kind = "additive", site = "student.input", sigma = drawn and { from = 1, to = 0.25 } or 0.1 } }
-- BAD: teachers.lua:{{[0-9]+}}: error: kd.ensemble.logits: 1 weights for 2 teachers
-- CHECK: func @objective(
-- CHECK: stream = "first.dropout1" } : f32[B,5] role(teacher)
-- CHECK: stream = "second.dropout1" } : f32[B,5] role(teacher)
-- CHECK: value = 0.75
-- CHECK: value = 0.25
-- CHECK: site("teacher.logits")
-- CHECK: reshape {{.*}} role(student) site("student.input")
-- CHECK: stream = "dropout1" } : f32[B,5] role(student)
-- One of the two a batch, and a deviation that falls within the run's epochs.
-- DRAWN: hyper %sigma_from = 1
-- DRAWN: hyper %sigma_to = 0.25
-- DRAWN: noise.sigma_from = "sigma_from", noise.sigma_to = "sigma_to", noise.alpha = "alpha", noise.sigma_epochs = 10
-- DRAWN: func @objective(
-- DRAWN: [[U:%.*]] = rng.uniform %step, %epoch { stream = "teachers.drawn" } : f32 role(noise)
-- DRAWN: [[SHARE:%.*]] = constant { value = 0.75 } : f32
-- DRAWN: [[LATER:%.*]] = le [[SHARE]], [[U]]
-- DRAWN: select {{.*}} : f32[B,3] role(noise) site("teacher.logits")
