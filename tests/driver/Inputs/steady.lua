-- A small MLP whose steps take microseconds, for runs of very many of them.
local kd = require "kd"
local data = kd.data.fashion_mnist()
local mlp = kd.network("student", data.input, function(x)
  return kd.linear(kd.relu(kd.linear(kd.flatten(x), 8)), 10)
end)
return kd.train { network = mlp, data = data, optimizer = kd.sgd { lr = 1e-3 }, batch = 16, epochs = 1 }
