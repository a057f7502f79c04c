-- Small students for together.test, whose validation stalls sooner or later; `far` adds a sigma that overflows.
local kd = require "kd"
local data = kd.data.csv { file = "data.csv", input = { 6 }, classes = 3, validation = 60, test = 40 }
local function train(network, loss)
  return kd.train { network = network, data = data, batch = 32, epochs = 3, loss = loss,
                    optimizer = kd.adam { lr = 0.01 } }
end
local teacher = train(kd.network("teacher", data.input, function(x)
  return kd.linear(kd.relu(kd.linear(x, 24)), 3)
end))
local student = kd.network("student", data.input, function(x)
  return kd.linear(kd.dropout(kd.tanh(kd.linear(x, 7)), 0.2), 3)
end)
local optimizer = kd.sgd { lr = kd.param("lr", 0.02), momentum = 0.9 }

return kd.study {
  over = { sigma = { 0.25, 0.5, 0.75, 1, 1.5, 2, 3, kd.param("far", 4) } }, seeds = 2,
  baseline = function()
    return kd.distill { teacher = teacher, student = student, data = data, batch = 32, epochs = 60, patience = 6,
                        optimizer = optimizer }
  end,
  run = function(p)
    return kd.distill { teacher = teacher, student = student, data = data, batch = 32, epochs = 60, patience = 6,
                        optimizer = optimizer, noise = kd.noise { sigma = p.sigma, alpha = 0.5 } }
  end,
}
