-- Floats that are normalised and labels beyond a byte: arrays.py makes the files.
local kd = require "kd"
local data = kd.data.npy {
  train_x = "x.npy", train_y = "y.npy", test_x = "x.npy", test_y = "y.npy",
  input = { 7 }, classes = 300, dtype = "f32", validation = 40, normalize = "standard",
}
local net = kd.network("net", data.input, function(x)
  return kd.linear(kd.relu(kd.linear(x, 20)), 300)
end)
return kd.train {
  network = net, data = data, loss = kd.loss.cross_entropy(), batch = 32, epochs = 3, seed = 1,
  optimizer = kd.adam { lr = 1e-2 },
}
