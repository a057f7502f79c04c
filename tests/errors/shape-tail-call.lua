-- RUN: not kdc %s 2>&1 | FileCheck %s
-- The line of a call in tail position, though its frame is gone.
local kd = require "kd"
kd.network("student", { 1, 28, 28 }, function(x)
  local h = kd.relu(x)
  return kd.linear(h, 10)
end)
-- CHECK: shape-tail-call.lua:[[@LINE-2]]: error: linear: its input must be f32[B,features], not f32[B,1,28,28]; kd.flatten(x) makes it so
