-- Data sets, by name or by files. Nothing is read here: a script can be checked where no data is.
-- The last `validation` samples of the training file validate.

local core = ...
local check = require "kd.check"
local Data = check.class("data",
  { "name", "input", "classes", "class_names", "train", "validation", "test" })
local data = {}

local function copy_of(record)
  local copy = {}
  for k, v in pairs(record) do copy[k] = v end
  return setmetatable(copy, Data)
end

-- take(n): the same data of which only the first n training samples are used.
Data.methods.take = core.entry(function(v, n)
  local self = check.record(v, "data")
  if not self then core.fail("take: write data:take(n), with a colon") end
  if math.type(n) ~= "integer" or n < 1 then
    core.fail(("take: a whole number of samples, at least 1, not %s"):format(check.describe(n)))
  end
  local all = self.limit > 0 and self.limit or self.train
  if all > 0 and n > all then core.fail(("take: %d samples of %d"):format(n, all)) end
  return check.seal(self:limited(n), Data)
end)

-- without { 3 }: the same data whose training samples are of other classes. What validates and tests
-- stays as it is.
Data.methods.without = core.entry(function(v, classes)
  local self = check.record(v, "data")
  if not self then core.fail("without: write data:without { 3 }, with a colon") end
  local copy, list = copy_of(self), type(classes) == "table" and classes or { classes }
  copy.omit = self.omit or 0
  check.length("without", list)
  for _, c in ipairs(list) do
    if math.type(c) ~= "integer" or c < 0 or c >= self.classes or c > 62 then
      core.fail(("without: %s is not a class from 0 to %d"):format(check.describe(c),
        math.min(self.classes, 63) - 1))
    end
    copy.omit = copy.omit | 1 << c
  end
  return check.seal(copy, Data)
end)

-- The record with at most `limit` training samples, before classes are left out.
function Data.inner:limited(limit)
  local all = self.limit > 0 and self.limit or self.train -- 0: the files tell
  if all > 0 and limit >= all then return self end
  local copy = copy_of(self)
  copy.limit = limit
  return copy
end

-- Training samples in an epoch, or nil where only the files can tell: also whether they have as many as
-- the limit.
function Data.inner:samples()
  if self.omit or self.train == 0 then return nil end
  return self.limit > 0 and self.limit or self.train
end

-- What is taken from every sample, from the training samples' statistics (normalize.h) or from its
-- own surroundings (contrast.h).
local function check_normalize(what, o)
  if o.normalize then
    check.word(what, "normalize", o.normalize, { "mean", "standard", "channel", "local" })
  end
  if o.normalize == "local" and o.input and #o.input ~= 3 then
    core.fail(what .. ": normalize = \"local\" is for images, input = { channels, height, width }")
  end
  return o.normalize
end

-- Where data may lie: in or below the script's folder, or where data sets are installed.
local installed = "/usr/share/datasets/"
local function place(what, dir)
  local known = dir:sub(1, #installed) == installed and core.inside(dir:sub(#installed + 1))
  if not known and not core.inside(dir) then
    core.fail(what .. ": 'dir' lies outside of the script's folder; name such a folder with --data")
  end
  return core.path(dir)
end

local function make(fields)
  fields.limit = fields.limit or 0
  fields.where = core.where()
  return check.seal(fields, Data)
end

-- A well-known data set. All take `dir`, the only place to look in then, `train` and `test`, numbers of
-- samples where the files hold other ones than usual, and `checksum`: with true, only the files that
-- its authors published are taken, by their MD5 sums.
local function known(what, fields, more)
  return function(options)
    local keys = { validation = { "integer", 5000, min = 0, max = fields.given - 1 },
      train = { "integer", 0, min = 0 }, test = { "integer", fields.test, min = 0 },
      dir = { "string" }, checksum = { "boolean", false }, normalize = { "string" } }
    for k, v in pairs(more or {}) do keys[k] = v end
    local o = check.options(what, options, keys)
    local result = {
      dtype = "u8", scale = 1 / 255, validation = o.validation,
      train = o.train > 0 and o.train or fields.given - o.validation,
    }
    for k, v in pairs(fields) do result[k] = v end
    result.test = o.test
    result.normalize = check_normalize(what, o)
    if fields.choose then fields.choose(result, o) end
    if o.dir then result.dirs = { place(what, o.dir) } end
    if not o.checksum then result.md5 = nil end
    return make(result)
  end
end

local digits = { "0", "1", "2", "3", "4", "5", "6", "7", "8", "9" }

-- Ten classes of 28 x 28 grey images in IDX files of MNIST's names.
local function mnist_like(fields)
  local result = {
    format = "idx", input = { 1, 28, 28 }, classes = 10, given = 60000, test = 10000,
    train_x = "train-images-idx3-ubyte.gz", train_y = "train-labels-idx1-ubyte.gz",
    test_x = "t10k-images-idx3-ubyte.gz", test_y = "t10k-labels-idx1-ubyte.gz",
  }
  for k, v in pairs(fields) do result[k] = v end
  return result
end

data.fashion_mnist = known("kd.data.fashion_mnist", mnist_like {
  name = "fashion_mnist",
  dirs = { "/usr/share/datasets/fashion-mnist" },
  package = "dataset-fashion-mnist",
  class_names = { "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker",
    "bag", "boot" },
  md5 = { -- of Debian's package
    "train-images-idx3-ubyte.gz=cf8536b0aa1a6ac5fa3f23001093305c",
    "train-labels-idx1-ubyte.gz=10bea18fdb374794d4bb42e356e600c9",
    "t10k-images-idx3-ubyte.gz=f78720b4224f21cce2f2ccf2d7a94c9a",
    "t10k-labels-idx1-ubyte.gz=0d30e22e447f3c33dab9ed536400ac01",
  },
})

data.mnist = known("kd.data.mnist", mnist_like {
  name = "mnist",
  dirs = { "/usr/share/datasets/mnist", core.path("mnist") },
  class_names = digits,
  md5 = {
    "train-images-idx3-ubyte.gz=f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte.gz=d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte.gz=9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte.gz=ec29112dd5afa0611ce80d1b7f02629c",
  },
})

-- EMNIST (Cohen et al. 2017): images are stored transposed, letters are counted from 1. `split` is one of
-- its six.
local emnist = {
  byclass = { 697932, 116323, 62 }, bymerge = { 697932, 116323, 47 }, balanced = { 112800, 18800, 47 },
  letters = { 124800, 20800, 26 }, digits = { 240000, 40000, 10 }, mnist = { 60000, 10000, 10 },
}
data.emnist = known("kd.data.emnist", mnist_like {
  name = "emnist", transposed = true, dirs = { "/usr/share/datasets/emnist", core.path("emnist") },
  choose = function(result, o)
    local sizes = emnist[check.word("kd.data.emnist", "split", o.split,
      { "balanced", "byclass", "bymerge", "digits", "letters", "mnist" })]
    if o.train == 0 then result.train = sizes[1] - o.validation end
    if o.test == 10000 then result.test = sizes[2] end
    result.classes, result.first_label = sizes[3], o.split == "letters" and 1 or 0
    for _, part in ipairs { "train", "test" } do
      for x, kind in pairs { x = "images-idx3", y = "labels-idx1" } do
        result[part .. "_" .. x] = ("emnist-%s-%s-%s-ubyte.gz"):format(o.split, part, kind)
      end
    end
  end,
}, { split = { "string", "balanced" } })

-- Krizhevsky's binary version, as the archive or unpacked.
data.cifar10 = known("kd.data.cifar10", {
  name = "cifar10", format = "cifar", input = { 3, 32, 32 }, classes = 10, given = 50000,
  test = 10000, labels = 1, label = 0,
  archive = "cifar-10-binary.tar.gz", inside = "cifar-10-batches-bin",
  dirs = { "/usr/share/datasets/cifar-10", core.path("cifar-10") },
  train_x = "data_batch_1.bin,data_batch_2.bin,data_batch_3.bin,data_batch_4.bin,data_batch_5.bin",
  test_x = "test_batch.bin",
  class_names = { "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
    "truck" },
  md5 = { "cifar-10-binary.tar.gz=c32a1d4ab5d03f1284b67883e8d87530" },
})

-- labels = "fine", 100 classes, or "coarse", 20.
data.cifar100 = known("kd.data.cifar100", {
  name = "cifar100", format = "cifar", input = { 3, 32, 32 }, given = 50000, test = 10000,
  labels = 2, archive = "cifar-100-binary.tar.gz", inside = "cifar-100-binary",
  dirs = { "/usr/share/datasets/cifar-100", core.path("cifar-100") },
  train_x = "train.bin", test_x = "test.bin",
  md5 = { "cifar-100-binary.tar.gz=03b5dce01913d631647c71ecec9e9cb8" },
  choose = function(result, o)
    check.word("kd.data.cifar100", "labels", o.labels, { "fine", "coarse" })
    result.label = o.labels == "fine" and 1 or 0
    result.classes = o.labels == "fine" and 100 or 20
  end,
}, { labels = { "string", "fine" } })

-- The cropped digits (format 2); with `extra` the 531,131 easier ones too, behind those of the train set.
local with_extra = 604388
data.svhn = known("kd.data.svhn", {
  name = "svhn", format = "svhn", input = { 3, 32, 32 }, classes = 10, given = 73257, test = 26032,
  train_x = "train_32x32.mat", test_x = "test_32x32.mat",
  dirs = { "/usr/share/datasets/svhn", core.path("svhn") },
  class_names = digits,
  md5 = {
    "train_32x32.mat=e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat=eb5a983be6a315427106f1b164d9cef3",
  },
  choose = function(result, o)
    if not o.extra then return end
    result.train_x = "train_32x32.mat,extra_32x32.mat"
    if o.train == 0 then result.train = with_extra - o.validation end
    result.md5 = { "extra_32x32.mat=a93ce644f1a588dc4d68dda5feec44a7", table.unpack(result.md5) }
  end,
}, { extra = { "boolean", false } })

local shape_help = ": 'input' is the shape of one sample, such as { 1, 28, 28 }"

-- What data of one's own say beside their files.
local function own_keys(format, more)
  local keys = {
    name = { "string", format },
    dir = { "string", "." },
    input = { "table", required = true },
    classes = { "integer", required = true, min = 2, max = 65536 },
    scale = { "number" },
    train = { "integer", 0, min = 0 },
    validation = { "integer", 0, min = 0 },
    test = { "integer", 0, min = 0 },
    class_names = { "table" },
    md5 = { "table" },
    normalize = { "string" },
  }
  for k, v in pairs(more) do keys[k] = v end
  return keys
end

-- Checks those and makes the data set. Paths are relative to `dir`, and that to the script.
local function own(what, format, o)
  if #o.input < 1 or #o.input > 7 then core.fail(what .. shape_help) end
  for _, extent in ipairs(o.input) do
    if math.type(extent) ~= "integer" or extent < 1 then core.fail(what .. shape_help) end
  end
  if o.class_names then check.length(what .. ": 'class_names'", o.class_names) end
  if o.class_names and #o.class_names ~= o.classes then
    core.fail(("%s: %d class names for %d classes"):format(what, #o.class_names, o.classes))
  end
  for _, name in ipairs(o.class_names or {}) do
    if type(name) ~= "string" then core.fail(what .. ": 'class_names' is a list of strings") end
  end
  local sums = o.md5 and {}
  for file, sum in pairs(o.md5 or {}) do
    if type(file) ~= "string" or type(sum) ~= "string" or #sum ~= 32 or sum ~= sum:lower() then
      core.fail(what .. ": 'md5' is { [\"FILE\"] = \"32 hex digits in lower case\", … }")
    end
    sums[#sums + 1] = file .. "=" .. sum
  end
  o.md5 = sums
  check_normalize(what, o)
  o.format = format
  o.scale = o.scale or (o.dtype == "u8" and 1 / 255 or 1)
  o.dirs = { place(what, o.dir) }
  for _, key in ipairs { "file", "test_file", "train_x", "train_y", "test_x", "test_y" } do
    if o[key] and not core.inside(o[key]) then
      core.fail(("%s: '%s' is the name of a file in 'dir'"):format(what, key))
    end
  end
  return make(o)
end

-- One file of samples and one of labels: IDX, .npy.
local function from_files(what, format, fixed)
  return function(options)
    local o = check.options(what, options, own_keys(format, {
      train_x = { "string", required = true },
      train_y = { "string", required = true },
      test_x = { "string" },
      test_y = { "string" },
      dtype = { "string", fixed.dtype },
    }))
    check.word(what, "dtype", o.dtype, fixed.dtypes)
    if (o.test_x == nil) ~= (o.test_y == nil) then
      core.fail(what .. ": 'test_x' and 'test_y' go together")
    end
    return own(what, format, o)
  end
end

data.idx = from_files("kd.data.idx", "idx", { dtype = "u8", dtypes = { "u8" } })
data.npy = from_files("kd.data.npy", "npy", { dtype = "f32", dtypes = { "f32", "u8" } })

-- NumPy's archive of arrays, by their names in it.
function data.npz(options)
  local what = "kd.data.npz"
  local o = check.options(what, options, own_keys("npz", {
    file = { "string", required = true },
    train_x = { "string", "x_train" },
    train_y = { "string", "y_train" },
    test_x = { "string" },
    test_y = { "string" },
    dtype = { "string", "f32" },
  }))
  check.word(what, "dtype", o.dtype, { "f32", "u8" })
  if (o.test_x == nil) ~= (o.test_y == nil) then
    core.fail(what .. ": 'test_x' and 'test_y' go together")
  end
  o.archive = o.file
  for _, key in ipairs { "train_x", "train_y", "test_x", "test_y" } do
    o[key] = o[key] and o[key] .. ".npy"
  end
  return own(what, "npy", o)
end

-- Comma-separated numbers; `label` is the label's column, from 1, the others are the sample.
function data.csv(options)
  local what = "kd.data.csv"
  local o = check.options(what, options, own_keys("csv", {
    file = { "string", required = true },
    test_file = { "string" },
    label = { "integer", 1, min = 1, max = 1000000 },
    header = { "boolean", false },
  }))
  local columns = 1
  for _, extent in ipairs(o.input) do columns = columns * extent end
  if o.label > columns + 1 then
    core.fail(("%s: 'label' is column %d of %d"):format(what, o.label, columns + 1))
  end
  o.train_x, o.test_x, o.label, o.dtype = o.file, o.test_file, o.label - 1, "f32"
  return own(what, "csv", o)
end

return data
