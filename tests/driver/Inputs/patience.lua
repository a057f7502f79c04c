-- Nothing is learnt, so validation never improves.
local kd = require "kd"
local data = kd.data.fashion_mnist()
local net = kd.network("student", data.input, function(x) return kd.linear(kd.flatten(x), 10) end)
local function still(more)
  local o = { network = net, data = data, optimizer = kd.sgd { lr = 0 }, epochs = 6, patience = 2 }
  for k, v in pairs(more) do o[k] = v end
  return kd.train(o)
end
return kd.runs { { "impatient", still {} }, { "patient", still { min_epochs = 5 } } }
