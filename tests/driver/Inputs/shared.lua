-- A linear network on real data; --set set=1 MNIST, 2 CIFAR-10, 3 a part of HIGGS.
local kd = require "kd"
local which = kd.param("set", 1)
local data
if which == 1 then data = kd.data.mnist { checksum = true } end
if which == 2 then data = kd.data.cifar10() end
if which == 3 then
  data = kd.data.csv {
    file = "higgs_train_7000.csv.gz", test_file = "higgs_test_500.csv.gz", input = { 28 },
    classes = 2, validation = 1000,
    md5 = { ["higgs_train_7000.csv.gz"] = "f8efd180e8cd6822f508ac4ec72086ab" },
  }
end
local net = kd.network("net", data.input, function(x)
  return kd.linear(kd.flatten(x), data.classes)
end)
return kd.train { network = net, data = data, epochs = 3, optimizer = kd.adam { lr = 0.01 } }
