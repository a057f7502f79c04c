-- A loss that is always finite, and whose gradient is 0 times infinity once a sample's logits are short.
local kd = require "kd"
local data = kd.data.fashion_mnist()
local net = kd.network("net", data.input, function(x)
  return kd.linear(kd.flatten(x), 10)
end)
return kd.train {
  network = net, data = data, batch = 32, epochs = 3, seed = 1, optimizer = kd.adam { lr = 1e-3 },
  loss = function(s, _, y)
    local square = kd.sum(s ^ 2, 2)
    local long = kd.relu(square - kd.param("short", 0))
    return kd.loss.cross_entropy()(s, nil, y) + kd.sqrt(long * square)
  end,
}
