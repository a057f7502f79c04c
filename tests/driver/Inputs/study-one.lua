-- A grid of one point with one seed, on data without validation samples; for study-one.test.
local kd = require "kd"
local data = kd.data.fashion_mnist { validation = 0 }
local student = kd.network("student", data.input, function(x) return kd.linear(kd.flatten(x), 10) end)

return kd.study {
  over = { lr = { 0.01 } }, seeds = 1,
  run = function(p) return kd.train { network = student, data = data, optimizer = kd.adam { lr = p.lr } } end,
}
