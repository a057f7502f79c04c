-- A student of labels alone, listed before the only run that teaches; for compared.test.
local kd = require "kd"
local data = kd.data.csv { file = "data.csv", label = 3, input = { 2 }, classes = 3, validation = 11, test = 11 }
local function net(name) return kd.network(name, data.input, function(x) return kd.linear(x, 3) end) end
local teacher, student = kd.train { network = net("big"), data = data, epochs = 1 }, net("small")
return kd.runs {
  { "hard", kd.train { network = student, data = data, epochs = 1 } },
  { "soft", kd.distill { teacher = teacher, student = student, data = data, epochs = 1 } },
}
