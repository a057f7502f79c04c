-- RUN: not kdc %s 2>&1 | FileCheck %s
local kd = require "kd"
local data = kd.data.mnist()
local net = kd.network("a", data.input, function(x) return kd.linear(kd.flatten(x), 10) end)
return kd.train { network = net, data = data, loss = function(s, t, y)
  return s * s
end }
-- CHECK: loss-shape.lua:[[@LINE-3]]: error: the loss must be a scalar, or one number per sample, f32[B]; it is f32[B,10]
-- CHECK-NEXT: loss-shape.lua:[[@LINE-3]]: note: made here
