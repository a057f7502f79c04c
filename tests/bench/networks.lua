-- What ./dev bench trains; pytorch.py has the same networks.
local kd = require "kd"
local data = kd.data.fashion_mnist()

local function mlp(name, width)
  return kd.network(name, data.input, function(x)
    x = kd.relu(kd.linear(kd.flatten(x), width))
    return kd.linear(kd.relu(kd.linear(x, width)), 10)
  end)
end

local lenet = kd.network("lenet", data.input, function(x)
  x = kd.max_pool(kd.relu(kd.conv2d(x, 20, { kernel = 5 })), 2)
  x = kd.max_pool(kd.relu(kd.conv2d(x, 50, { kernel = 5 })), 2)
  return kd.linear(kd.relu(kd.linear(kd.flatten(x), 500)), 10)
end)

local function train(network)
  return kd.train { network = network, data = data, loss = kd.loss.cross_entropy(),
                    optimizer = kd.adam { lr = 1e-3 }, batch = 128, epochs = 1, seed = 1 }
end

return kd.runs {
  { "mlp_800", train(mlp("wide", 800)) },
  { "mlp_30", train(mlp("narrow", 30)) },
  { "lenet", train(lenet) },
}
