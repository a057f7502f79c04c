-- RUN: not kdc %s 2>&1 | FileCheck %s
local kd = require "kd"
kd.network("student", { 1, 28, 28 }, function(x)
  return kd.batch_norm(kd.sum(x, { 2, 3, 4 }))
end)
-- CHECK: batch-norm.lua:[[@LINE-2]]: error: batch_norm: its input must be f32[B,channels,…], not f32[B]
