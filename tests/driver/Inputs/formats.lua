-- The data sets of make_data.py in each format; --set set=N says which, distill=1 trains a student too.
local kd = require "kd"
local dir, which, distill = ".", kd.param("set", 1), kd.param("distill", 0)
local points = { input = { 2 }, classes = 2, validation = 50, test = 50, dir = dir }
local function with(more)
  for k, v in pairs(points) do more[k] = v end
  return more
end

local few = { dir = dir, validation = 10, train = 30, test = 20 }
local data
if which == 1 then data = kd.data.cifar100(few) end
if which == 2 then
  few.labels = "coarse"
  data = kd.data.cifar100(few)
end
if which == 3 then data = kd.data.svhn(few) end
if which == 11 then
  data = kd.data.svhn { dir = dir, validation = 10, train = 60, test = 20, extra = true }
end
if which == 7 then
  few.normalize = "channel"
  data = kd.data.svhn(few)
end
if which == 8 then
  data = kd.data.emnist { dir = dir, split = "letters", validation = 26, train = 104, test = 52 }
end
if which == 9 then data = kd.data.cifar10 { dir = dir, checksum = true } end
if which == 10 then data = kd.data.cifar10 { dir = dir, validation = 10, train = 40, test = 10 } end
if which == 4 then data = kd.data.npz(with { file = "points.npz" }) end
if which == 12 then
  data = kd.data.npz(with { file = "points.npz", test_x = "x_train", test_y = "y_train" })
end
if which == 5 then
  data = kd.data.csv(with { file = "points.csv.gz", label = 3, header = true })
end
if which == 6 then data = kd.data.csv(with { file = "points.csv.gz", label = 3 }) end

-- Where rows of pixels, not columns, make the difference.
local by_rows = which == 8
local net = kd.network("net", data.input, function(x)
  if by_rows then return kd.linear(kd.sum(x, 4):flatten(), data.classes) end
  return kd.linear(kd.flatten(x), data.classes)
end)
local run = kd.train {
  network = net, data = data, epochs = 20, optimizer = kd.adam { lr = 0.05 },
  schedule = kd.schedule.cosine { warmup = 0.5 },
}
if which ~= 7 and distill == 0 then return run end

local student = kd.network("student", data.input, function(x)
  return kd.linear(kd.flatten(x), data.classes)
end)
return kd.runs {
  { "taught", run },
  { "distilled", kd.distill { teacher = run, student = student, data = data, epochs = 2 } },
}
