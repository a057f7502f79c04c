-- RUN: not kdc %s 2>&1 | FileCheck %s
-- RUN: sed 's/params = "b/parms = "b/' %s > %t.lua && not kdc %t.lua 2>&1 | FileCheck %s --check-prefix=KEY
local kd = require "kd"
local data = kd.data.fashion_mnist()
local net = kd.network("net", data.input, function(x) return kd.linear(kd.flatten(x), 10) end)
return kd.train { network = net, data = data, optimizer = kd.adam { groups = { { params = "bn*" } } } }
-- CHECK: groups.lua:6: error: optimize: no parameter of network 'net' fits 'bn*', the pattern of group 1
-- KEY: groups.lua.tmp.lua:6: error: kd.adam: group 1: unknown key 'parms'; did you mean 'params'?
