-- A network that reads a hyperparameter; GAIN stands for it. arrays.py makes the files.
local kd = require "kd"
local data = kd.data.npy {
  train_x = "x.npy", train_y = "y.npy", input = { 7 }, classes = 300, validation = 40,
}
local net = kd.network("net", data.input, function(x)
  return kd.linear(kd.relu(kd.linear(x, 20)), 300) * GAIN
end)
return kd.train { network = net, data = data, loss = kd.loss.cross_entropy(), epochs = 1 }
