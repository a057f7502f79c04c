-- RUN: kdc %s --emit=kir --passes=canonicalize | FileCheck %s
-- Losses add up and take weights, which are hyperparameters; a user's function over tensors, with
-- two teachers' mean; dropout is live in the objective and gone in inference. A number of the loss
-- is no setting of the optimiser, whatever its name.
local kd = require "kd"
local data = kd.data.npy { train_x = "x.npy", train_y = "y.npy", input = { 5 }, classes = 3,
  train = 100 }
local function net(name, rate)
  return kd.network(name, data.input, function(x)
    return kd.linear(kd.dropout(kd.tanh(kd.linear(x, 4)), rate), 3)
  end)
end
local first = kd.train { network = net("first", 0.5), data = data }
local second = kd.train { network = net("second", 0.5), data = data }
local mixed = 0.3 * kd.loss.cross_entropy() + 0.7 * kd.loss.kl { temperature = 4 }
return kd.distill { teacher = { first, second }, student = net("student", 0.25), data = data,
  loss = function(s, t, y)
    return mixed(s, t, y) + kd.hyper("lambda", 0.01) * kd.mean(s ^ 2, 2) + kd.hyper("max_norm", 2)
  end }
-- CHECK: hyper %weight = 0.3
-- CHECK: hyper %weight.2 = 0.7
-- CHECK: hyper %temperature = 4
-- CHECK: hyper %lambda = 0.01
-- CHECK-NEXT: hyper %max_norm.2 = 2
-- CHECK: func @student(
-- CHECK-NOT: rng
-- CHECK: func @objective(%images: f32[N,5] data
-- CHECK-NOT: cast %rows
-- CHECK: %teachers.mean = mul {{.*}} role(teacher) site("teacher.logits")
-- CHECK: rng.uniform %index, %epoch { stream = "dropout1" } : f32[B,4] role(student)
-- CHECK: role(student) site("student.logits")
-- CHECK: hyper { name = "weight" }
-- CHECK: hyper { name = "temperature" }
-- CHECK: hyper { name = "lambda" }
-- CHECK: %loss = div
-- CHECK: func @evaluate(
-- CHECK-NOT: rng
