-- RUN: not kdc %s 2>&1 | FileCheck %s
local kd = require "kd"
local data = kd.data.mnist()
local net = kd.network("a", data.input, function(x) return kd.linear(kd.flatten(x), 7) end)
return kd.train { network = net, data = data }
-- CHECK: classes.lua:[[@LINE-1]]: error: network 'a' returns f32[B,7], and the data set 'mnist' has 10 classes
