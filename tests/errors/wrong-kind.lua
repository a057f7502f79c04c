-- RUN: not kdc %s 2>&1 | FileCheck %s
local kd = require "kd"
local data = kd.data.mnist()
local net = kd.network("a", data.input, function(x) return kd.linear(kd.flatten(x), 10) end)
local student = kd.network("b", data.input, function(x) return kd.linear(kd.flatten(x), 10) end)
return kd.distill { teacher = net, student = student, data = data }
-- CHECK: wrong-kind.lua:[[@LINE-1]]: error: kd.distill: 'teacher' must be a run, as kd.train returns it, or a list of runs, not a network
