-- RUN: not kdc %s 2>&1 | FileCheck %s
local kd = require "kd"
kd.network("student", { 1, 28, 28 }, function(x)
  return kd.conv2d(x, 10, { kernel = 5, pading = 2 })
end)
-- CHECK: unknown-key.lua:[[@LINE-2]]: error: conv2d: unknown key 'pading'; did you mean 'padding'?
-- CHECK-NOT: note
