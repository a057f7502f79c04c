-- Every elementary function that a network can have, and what it prints while it trains.
local kd = require "kd"
local data = kd.data.npy { train_x = "x.npy", train_y = "y.npy", input = { 4 }, classes = 3 }
local net = kd.network("net", data.input, function(x)
  x = kd.linear(x, 8)
  local size = kd.abs(x)
  local y = kd.exp(-size) + kd.log(1 + size) + kd.tanh(x) + kd.sqrt(size) + kd.sin(x) + kd.cos(x)
  y = y + kd.floor(x) + (1 + size) ^ x + kd.softmax(x) + kd.maximum(x, y)
  return kd.linear(kd.print(y, "y"), 3)
end)
return kd.train { network = net, data = data, loss = kd.loss.cross_entropy(), epochs = 1 }
