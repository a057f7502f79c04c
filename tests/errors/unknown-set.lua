-- RUN: not kdc %s --set sigmma=0.2 2>&1 | FileCheck %s
-- CHECK: unknown-set.lua: error: --set sigmma: the script has no parameter of this name; did you mean 'sigma'?
local kd = require "kd"
local data = kd.data.mnist()
local net = kd.network("a", data.input, function(x) return kd.linear(kd.flatten(x), 10) end)
return kd.train { network = net, data = data, optimizer = kd.sgd { lr = kd.param("sigma", 0.1) } }
