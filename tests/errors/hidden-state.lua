-- RUN: not kdc %s 2>&1 | FileCheck %s
-- A network's function is called more than once, and must build the same layers each time.
local kd = require "kd"
local calls = 0
kd.network("a", { 4 }, function(x)
  calls = calls + 1
  return kd.linear(x, 10 + calls)
end)
-- CHECK: hidden-state.lua:[[@LINE-2]]: error: fc1.weight is f32[12,4] here, and f32[11,4] when network 'a' was traced before
