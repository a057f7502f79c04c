-- RUN: not kdc %s 2>&1 | FileCheck %s
-- Both shapes, the line of Lua.
local kd = require "kd"
kd.network("student", { 1, 28, 28 }, function(x)
  return kd.residual(x, function(y)
    return kd.conv2d(y, 4, { kernel = 3, stride = 2, padding = 1 })
  end)
end)
-- CHECK: residual.lua:[[@LINE-4]]: error: residual: the body gives f32[B,4,14,14] and the shortcut f32[B,1,28,28]; shortcut = "pool"
