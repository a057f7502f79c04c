-- Names that are the same in C, or one of its words; and numbers that C has no digits for.
local kd = require "kd"
local data = kd.data.fashion_mnist()
local net = kd.network("net", data.input, function(x)
  x = kd.linear(kd.flatten(x), 3, { name = "a.b" })
  x = kd.linear(x, 4, { name = "a_b" })
  return kd.linear(x, 10, { name = "A.B" })
end)
local function loss(z, _, y)
  local rate = kd.hyper("r.x", 1) * kd.hyper("r_x", 2) * kd.hyper("double", 1e300)
  rate = rate * kd.hyper("not", 3) * kd.hyper("restrict", 4) * kd.hyper("namespace", 5)
  return kd.loss.cross_entropy()(z, nil, y) * rate
end
return kd.train {
  network = net, data = data, loss = loss, epochs = 1,
  optimizer = kd.sgd { lr = 0.1, clip_norm = 1 },
}
