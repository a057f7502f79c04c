-- What runs minimise, as formulas.
-- RUN: kdc explain %s | FileCheck %s
-- RUN: kdc explain %s --run noisy --set sigma=0.2 | FileCheck %s --check-prefix=ONE --implicit-check-not="run kl"
-- RUN: not kdc explain %s --run nosiy 2>&1 | FileCheck %s --check-prefix=NAME
-- RUN: not kdc explain %s --jit 2>&1 | FileCheck %s --check-prefix=OPTION
local kd = require "kd"
local data = kd.data.fashion_mnist()
local function net(x) return kd.linear(kd.flatten(x), 10) end
local teacher = kd.network("teacher", data.input, net)
local student = kd.network("student", data.input, net)
local teach = kd.train { network = teacher, data = data, epochs = 1 }
local function distill(loss, noise)
  return kd.distill { teacher = teach, student = student, data = data, epochs = 1, loss = loss,
                      noise = noise }
end
local noise = kd.noise { kind = "multiplicative", sigma = kd.param("sigma", 0.5), alpha = 0.3 }
-- Sixty squares of squares: shared at each level, and nested beyond any line.
local function tower(s, t)
  local x = s - t
  for _ = 1, 60 do x = x * x + x end
  return kd.sum(x, 2)
end
return kd.runs {
  { "teach", teach }, { "kl", distill(kd.loss.kl { temperature = 4 }) },
  { "own", distill(function(s, t) return 0.5 * kd.sum((s - t) ^ 2, 2) end) },
  { "noisy", distill(kd.loss.logits(), noise) }, { "tower", distill(tower) },
}

-- CHECK: run teach trains teacher
-- CHECK-NEXT: loss = mean(-sum_row([j = labels] * log_softmax(student.logits)))
-- CHECK: run kl trains student with teach
-- CHECK-NEXT: loss = mean(sum_row(softmax([[T:div[.0-9]*]]) * (log_softmax([[T]]) - log_softmax(student.logits / temperature))) * temperature^2)
-- CHECK-NEXT: [[T]] = teacher.logits / temperature
-- CHECK-NEXT: where {{.*}}, temperature = 4
-- CHECK: run own
-- CHECK-NEXT: loss = mean(sum_row((student.logits - teacher.logits)^2) * 0.5)
-- CHECK: run tower
-- CHECK-NEXT: loss = mean(sum_row([[X:add[.0-9]*]]^2 + [[X]]))
-- CHECK-NEXT: [[X]] = [[Y:add[.0-9]*]]^2 + [[Y]]
-- ONE: run noisy trains student with teach
-- ONE-NEXT: loss = mean(sum_row((student.logits - select([U(0, 1) < alpha], teacher.logits * (N(0, 1) * sigma + 1), teacher.logits))^2) * 0.5)
-- ONE-NEXT: where {{.*}}sigma = 0.2, alpha = 0.3
-- NAME: explain.lua: error: no run 'nosiy'; did you mean 'noisy'?
-- OPTION: error: option '--jit' does not belong to this command
