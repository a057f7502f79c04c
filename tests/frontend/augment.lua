-- RUN: kdc %s --emit=kir --run distilled --passes=canonicalize | FileCheck %s
-- RUN: kdc %s --emit=kir --run distilled --passes=canonicalize,hoist-teacher 2>&1 >/dev/null | FileCheck %s --check-prefix=NOTE
-- RUN: kdc %s --emit=kir --run flat --passes=canonicalize | FileCheck %s --check-prefix=FLAT
-- Samples are changed once, in front of teacher and student; the teacher stays in the step, which is said once.
local kd = require "kd"
local data = kd.data.fashion_mnist()
local function network(name)
  return kd.network(name, data.input, function(x) return kd.linear(kd.flatten(x), 10) end)
end
local teach = kd.train { network = network("teacher"), data = data }
local change = kd.augment { mirror = true, crop = 4, jitter = 0.1 }
return kd.runs {
  { "distilled", kd.distill { teacher = teach, student = network("student"), data = data, augment = change } },
  { "flat", kd.train { network = network("other"), data = data, augment = kd.augment { mirror = true } } },
}
-- CHECK-LABEL: func @objective(
-- CHECK: rng.uniform %index, %epoch { stream = "augment.rows" } : f32[B]
-- CHECK: %[[ROWS:.*]] = contract %{{.*}} { over = [28], a = [d0, d1, d4, d3], b = [d0, d2, d4] } : f32[B,1,28,28]
-- CHECK: rng.uniform %index, %epoch { stream = "augment.columns" } : f32[B]
-- CHECK: rng.uniform %index, %epoch { stream = "augment.mirror" } : f32[B]
-- CHECK: contract %[[ROWS]], %{{.*}} { over = [28], a = [d0, d1, d2, d4], b = [d0, d3, d4] } : f32[B,1,28,28]
-- CHECK: { stream = "augment.contrast" } : f32[B,1]
-- CHECK: { stream = "augment.brightness" } : f32[B,1]
-- CHECK: %augmented = add
-- CHECK: %[[PIXELS:.*]] = reshape %augmented : f32[B,784] role(teacher)
-- CHECK: contract %[[PIXELS]], %teacher.fc1.weight {{.*}} role(teacher)
-- CHECK: contract %[[PIXELS]], %student.fc1.weight {{.*}} role(student)
-- CHECK-LABEL: func @evaluate(
-- CHECK-NOT: rng.uniform

-- NOTE: augment.lua:8: note: hoist-teacher: the teacher runs in every step: %{{.*}} depends on rng.uniform
-- NOTE-NOT: note

-- Mirrored images alone: one choice per sample.
-- FLAT-LABEL: func @objective(
-- FLAT: lt %rng.uniform, {{.*}} : bool[B]
-- FLAT: view {{.*}} { at = [d0, d1, d2, -d3 + 27] } : f32[B,1,28,28]
-- FLAT: %augmented = select
