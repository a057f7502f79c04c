-- RUN: not kdc %s 2>&1 | FileCheck %s
local kd = require "kd"
kd.network("student", { 1, 28, 28 }, function(x)
  local small = kd.max_pool(x, 2)
  return kd.concat { x, small }
end)
-- CHECK: concat.lua:[[@LINE-2]]: error: concat: along axis 2, part 2 is f32[B,1,14,14] and part 1 f32[B,1,28,28]
