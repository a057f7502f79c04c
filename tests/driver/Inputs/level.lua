-- Losses where spreads are zero: in a batch's last, single row, of logits that are all equal at first; and where
-- negative numbers have 0 as their power.
local kd = require "kd"
local data = kd.data.npy {
  train_x = "x.npy", train_y = "y.npy", input = { 2 }, classes = 2, dtype = "u8", validation = 39,
}
local function net(name, init)
  return kd.network(name, data.input, function(x) return kd.linear(x, 2, { init = init }) end)
end
local teach = kd.train { network = net("teacher"), data = data, batch = 16, epochs = 3 }

local function run(name, loss)
  return { name, kd.distill { teacher = teach, student = net(name, kd.init.constant(0)), data = data, batch = 16,
    epochs = 3, loss = loss } }
end
return kd.runs {
  run("dist", kd.loss.dist()),
  run("power", function(s, t) return kd.sum((s - t) ^ 2 + (s - t) ^ 0, 2) end),
  run("level", kd.loss.kl { standardise = true } + kd.loss.cross_entropy()),
}
