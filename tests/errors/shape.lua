-- RUN: not kdc %s 2>&1 | FileCheck %s
-- Both shapes, the line of Lua, and where each operand came from.
local kd = require "kd"
local data = kd.data.fashion_mnist()
kd.network("student", data.input, function(x)
  local hidden = kd.linear(kd.flatten(x), 64)
  local wide = kd.linear(kd.flatten(x), 65)
  return kd.linear(
    hidden + wide, 10)
end)
-- CHECK: shape.lua:[[@LINE-2]]: error: add: {{.*}}f32[B,64] and f32[B,65]
-- CHECK: shape.lua:[[@LINE-6]]: note: {{.*}}f32[B,64]
-- CHECK: shape.lua:[[@LINE-6]]: note: {{.*}}f32[B,65]
