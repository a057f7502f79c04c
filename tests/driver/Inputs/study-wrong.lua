local kd = require "kd"
local data = kd.data.fashion_mnist()

return kd.study { over = { sigma = { "0.1" } }, run = function(p) return nil end }
