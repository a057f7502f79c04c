-- RUN: kdc %s --run logits --dump-ir=inject-noise | FileCheck %s --check-prefix=LOGITS
-- RUN: kdc %s --run drawn --dump-ir=inject-noise | FileCheck %s --check-prefix=DRAWN
-- RUN: kdc %s --run hidden --dump-ir=inject-noise | FileCheck %s --check-prefix=HIDDEN
-- RUN: kdc %s --run guided --dump-ir=inject-noise | FileCheck %s --check-prefix=GUIDED
-- RUN: kdc %s --run input --dump-ir=inject-noise | FileCheck %s --check-prefix=INPUT
-- RUN: kdc %s --run negated --dump-ir=inject-noise | FileCheck %s --check-prefix=NEGATED
-- RUN: not kdc %s --set wrong=1 2>&1 | FileCheck %s --check-prefix=WRONG
-- Each kind, scope, draw, site and law of sigma from the script to the IR.
local kd = require "kd"
local data = kd.data.npy { train_x = "x.npy", train_y = "y.npy", input = { 5 }, classes = 3, train = 100 }
local function net(name, site)
  return kd.network(name, data.input, function(x) return kd.linear(kd.site(kd.tanh(kd.linear(x, 4)), site), 3) end)
end
local teacher = kd.train { network = net("teacher", "hint"), data = data }
local student = net("student", "guided")
local negated = kd.train { network = kd.network("negated", data.input, function(x) return -kd.linear(x, 3) end), data = data }
local function with(noise) return kd.distill { teacher = teacher, student = student, data = data, noise = noise } end
if kd.param("wrong", 0) == 1 then kd.noise { sigma = { from = 1 } } end
return kd.runs {
  { "logits", with(kd.noise { kind = "multiplicative", scope = "class", draw = "sample", site = "teacher", sigma = 0.6,
                              alpha = 0.15 }) },
  { "drawn", with(kd.noise { kind = "additive", scope = "scalar", draw = "batch", site = "student",
                             sigma = { 0.01, 1 } }) },
  { "hidden", with(kd.noise { site = "hint", sigma = 0.1 }) },
  { "guided", with(kd.noise { site = "guided", scope = "scalar", sigma = { from = 1, to = 0.5, epochs = 3 } }) },
  { "negated", kd.distill { teacher = negated, student = student, data = data, noise = kd.noise { sigma = 0.1 },
                            loss = function(s, t) return kd.sum((s - t) ^ 2, 2) end } },
  { "input", with(kd.noise { site = "student.input", kind = "additive", sigma = 0.1 }) },
}
-- LOGITS: %xi = rng.normal %index, %epoch { stream = "teacher.logits.xi" } : f32[B,3]
-- LOGITS: rng.uniform %index, %epoch { stream = "teacher.logits.select" } : f32[B]
-- LOGITS: = select {{.*}} : f32[B,3] role(noise)
-- DRAWN: rng.uniform %step, %epoch { stream = "student.logits.sigma" } : f32
-- DRAWN: %xi = rng.normal %step, %epoch { stream = "student.logits.xi" } : f32 role(noise)
-- DRAWN: %perturbed = add
-- HIDDEN: role(teacher) site("hint")
-- HIDDEN: %xi = rng.normal %index, %epoch { stream = "hint.xi" } : f32[B,4]
-- HIDDEN: %perturbed = mul
-- HIDDEN: = contract {{.*}} %teacher.fc2.weight
-- GUIDED: role(student) site("guided")
-- GUIDED: constant { value = 2 }
-- GUIDED: %sigma = add %sigma_from
-- GUIDED: %xi = rng.normal %index, %epoch { stream = "guided.xi" } : f32[B] role(noise)
-- NEGATED: [[Z:%.*]] = neg {{.*}} role(teacher) site("teacher.logits")
-- NEGATED: %perturbed = mul [[Z]],
-- NEGATED: sub {{.*}}, %neg.noisy
-- INPUT: role(student) site("student.input")
-- INPUT: %xi = rng.normal %index, %epoch { stream = "student.input.xi" } : f32[B,5]
-- INPUT: %perturbed = add
-- WRONG: noise.lua:[[@LINE-32]]: error: kd.noise: sigma: 'to' is missing
