-- A student of two teachers' mean, with a hyperparameter whose name C keeps for itself.
local kd = require "kd"
local data = kd.data.fashion_mnist()
local function teacher(name, width, seed)
  local net = kd.network(name, data.input, function(x)
    return kd.linear(kd.relu(kd.linear(kd.flatten(x), width)), 10)
  end)
  return kd.train { network = net, data = data, epochs = 1, seed = seed }
end
local a, b = teacher("first", 8, 1), teacher("second", 9, 2)
local student = kd.network("student", data.input, function(x) return kd.linear(kd.flatten(x), 10) end)

local function loss(s, t, y) return kd.sum((s - t) ^ 2, 2) * kd.hyper("class", 0.5) end
return kd.runs {
  { "a", a },
  { "b", b },
  { "both", kd.distill { teacher = { a, b }, student = student, data = data, epochs = 2, loss = loss } },
}
