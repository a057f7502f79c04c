-- RUN: kdc %s --emit=kir --passes=canonicalize | FileCheck %s
-- RUN: not kdc %s --set wrong=1 2>&1 | FileCheck %s --check-prefix=SITE
-- RUN: not kdc %s --set wrong=2 2>&1 | FileCheck %s --check-prefix=GRAD
-- RUN: not kdc %s --set wrong=3 2>&1 | FileCheck %s --check-prefix=SHAPE
-- RUN: not kdc %s --set wrong=4 2>&1 | FileCheck %s --check-prefix=PLACE
-- RUN: not kdc %s --set wrong=5 2>&1 | FileCheck %s --check-prefix=NORM
-- RUN: kdc %s --set wrong=6 --emit=kir --passes=canonicalize | FileCheck %s --check-prefix=DROP
-- A loss reads what networks named, has parameters of its own, whose layers drop values by a stream
-- that is not the student's, and differentiates.
local kd = require "kd"
local data = kd.data.npy { train_x = "x.npy", train_y = "y.npy", input = { 5 }, classes = 3, train = 100 }
local function net(name, width)
  return kd.network(name, data.input, function(x)
    return kd.linear(kd.site(kd.tanh(kd.linear(x, width)), "hidden"), 3)
  end)
end
local teacher = kd.train { network = net("teacher", 7), data = data }
local wrong = kd.param("wrong", 0)
local losses = {
  [0] = kd.loss.hint { student = "hidden", teacher = "hidden" },
  kd.loss.hint { student = "hiden", teacher = "hidden" },
  function(s, t, y, at) return kd.grad(s, at.input):sum(2) end,
  kd.loss.hint { student = "hidden", teacher = "hidden", regressor = false },
  function(s, t, y, at) return at.inputs:sum(2) end,
  function(s, t, y, at) return kd.batch_norm(at.input):sum(2) end,
  kd.loss.hint { student = "hidden", teacher = "hidden",
    regressor = function(h) return kd.linear(kd.dropout(h, 0.5), 7) end },
}
return kd.distill { teacher = teacher, student = net("student", 4), data = data, loss = losses[wrong] }
-- CHECK: param %student.fc2.bias
-- CHECK: param %student.loss.fc1.weight : f32[7,4] { init = "he_uniform", fan_in = 4, fan_out = 7, auxiliary = 1 }
-- CHECK: func @student(
-- CHECK-NOT: loss.fc1
-- CHECK: func @objective(
-- CHECK: contract %student{{.*}}, %student.loss.fc1.weight {{.*}} role(loss)
-- CHECK: func @evaluate(
-- CHECK-NOT: loss.fc1
-- SITE: match.lua:[[@LINE-17]]: error: the student has no site 'hiden'; it has hidden
-- GRAD: match.lua:[[@LINE-17]]: error: grad: a scalar has a gradient, or one number per sample, f32[B]; not f32[B,3]
-- SHAPE: match.lua:{{[0-9]+}}: error: kd.loss.hint: f32[B,4] of the student and f32[B,7] of the teacher differ
-- PLACE: match.lua:[[@LINE-17]]: error: a loss is given input, epoch, student, teacher and teachers, but no 'inputs'
-- NORM: match.lua:[[@LINE-17]]: error: loss.bn1.running_mean: a loss has no running statistics of its own
-- DROP: func @objective(
-- DROP: rng.uniform %index, %epoch { stream = "loss.dropout1" } : f32[B,4] role(loss)
-- DROP: func @evaluate(
-- DROP-NOT: rng
