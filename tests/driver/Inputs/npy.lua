-- Data of one's own, which npy.sh makes; `file` tells which of its files are read.
local kd = require "kd"
local file = kd.param("file", 0)
local x = file == 1 and "wide.npy" or file == 2 and "short.npy" or file == 5 and "none.npy" or "x.npy"
local y = file == 3 and "classes.npy" or file == 6 and "many.npy" or "y.npy"
local data = kd.data.npy {
  train_x = x, train_y = y, test_x = "x.npy", test_y = "y.npy",
  input = { 2 }, classes = file == 6 and 70 or 2, dtype = file == 4 and "f32" or "u8", validation = kd.param("validation", 40),
}
local net = kd.network("net", data.input, function(v) return kd.linear(v, data.classes) end)
return kd.train {
  network = net, data = file == 6 and data:without { 3 } or data, loss = kd.loss.cross_entropy(), batch = file == 6 and 1 or 16, epochs = 3, seed = 1,
  optimizer = kd.sgd { lr = 1 },
}
