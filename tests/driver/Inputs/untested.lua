-- A study on data without a test set, for npy.test.
local kd = require "kd"
local data = kd.data.npy {
  train_x = "x.npy", train_y = "y.npy", input = { 2 }, classes = 2, dtype = "u8", validation = 40,
}
local net = kd.network("net", data.input, function(x) return kd.linear(x, 2) end)
local function run(lr)
  return kd.train { network = net, data = data, optimizer = kd.sgd { lr = lr }, epochs = 1 }
end
return kd.study {
  over = { lr = { 0.1 } }, seeds = 2,
  baseline = function() return run(0.01) end, run = function(p) return run(p.lr) end,
}
