-- RUN: not kdc %s 2>&1 | FileCheck %s
local kd = require "kd"
local data = kd.data.csv { file = "x.csv", input = { 4 }, classes = 2 }
local net = kd.network("net", data.input, function(x) return kd.linear(x, 2) end)
return kd.train { network = net, data = data, augment = kd.augment { mirror = true } }
-- CHECK: augment.lua:[[@LINE-1]]: error: kd.augment: mirror and crop are for images f32[B,channels,height,width], not f32[B,4]
