-- The same files twice, the second time with their sums: for formats.test.
local kd = require "kd"
local function set(checksum)
  return { dir = ".", validation = 10, train = 40, test = 10, checksum = checksum }
end
local plain, sure = kd.data.cifar10(set(false)), kd.data.cifar10(set(true))
local net = kd.network("net", plain.input, function(x) return kd.linear(kd.flatten(x), 10) end)
return kd.runs {
  { "plain", kd.train { network = net, data = plain } },
  { "sure", kd.train { network = net, data = sure } },
}
