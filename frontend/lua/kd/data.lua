-- Data sets, by name or by files. Nothing is read here: a script can be checked where no data is.
-- The last `validation` samples of the training file validate.

local core = ...
local check = require "kd.check"
local Data = check.class("data")
local data = {}

-- take(n): the same data of which only the first n training samples are used.
function Data:take(n)
  if not check.is(self, "data") then core.fail("take: write data:take(n), with a colon") end
  if math.type(n) ~= "integer" or n < 1 then
    core.fail(("take: a positive number of samples, not %s"):format(check.describe(n)))
  end
  local copy = {}
  for k, v in pairs(self) do copy[k] = v end
  copy.spec = nil
  copy.limit = n
  if self.train > 0 and n > self.train then
    core.fail(("take: %d samples of %d"):format(n, self.train))
  end
  return setmetatable(copy, Data)
end

-- Training samples in an epoch, or nil where only the files can tell.
function Data:samples()
  if self.limit > 0 then return self.limit end
  return self.train > 0 and self.train or nil
end

local function make(fields)
  fields.limit = fields.limit or 0
  fields.where = core.where()
  return setmetatable(fields, Data)
end

-- Ten classes of 28 x 28 grey images in IDX files of MNIST's names.
local function mnist_like(what, fields)
  return function(options)
    local o = check.options(what, options, {
      validation = { "integer", 5000, min = 0, max = 59999 },
      dir = { "string" },
    })
    local result = {
      format = "idx", dtype = "u8", input = { 1, 28, 28 }, scale = 1 / 255, classes = 10,
      train = 60000 - o.validation, validation = o.validation, test = 10000,
      train_x = "train-images-idx3-ubyte.gz", train_y = "train-labels-idx1-ubyte.gz",
      test_x = "t10k-images-idx3-ubyte.gz", test_y = "t10k-labels-idx1-ubyte.gz",
    }
    for k, v in pairs(fields) do result[k] = v end
    if o.dir then result.dirs = { core.path(o.dir) } end
    return make(result)
  end
end

data.fashion_mnist = mnist_like("kd.data.fashion_mnist", {
  name = "fashion_mnist",
  dirs = { "/usr/share/datasets/fashion-mnist" },
  package = "dataset-fashion-mnist",
  class_names = { "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker",
    "bag", "boot" },
})

data.mnist = mnist_like("kd.data.mnist", {
  name = "mnist",
  dirs = { "/usr/share/datasets/mnist", core.path("mnist") },
  class_names = { "0", "1", "2", "3", "4", "5", "6", "7", "8", "9" },
})

-- Files of one's own. Paths are relative to `dir`, and that to the script.
local function from_files(what, format, fixed)
  return function(options)
    local o = check.options(what, options, {
      name = { "string", format },
      dir = { "string", "." },
      train_x = { "string", required = true },
      train_y = { "string", required = true },
      test_x = { "string" },
      test_y = { "string" },
      input = { "table", required = true },
      classes = { "integer", required = true, min = 2, max = 65536 },
      dtype = { "string", fixed.dtype },
      scale = { "number" },
      train = { "integer", 0, min = 0 },
      validation = { "integer", 0, min = 0 },
      test = { "integer", 0, min = 0 },
      class_names = { "table" },
    })
    check.word(what, "dtype", o.dtype, fixed.dtypes)
    if (o.test_x == nil) ~= (o.test_y == nil) then
      core.fail(what .. ": 'test_x' and 'test_y' go together")
    end
    if #o.input < 1 or #o.input > 7 then
      core.fail(what .. ": 'input' is the shape of one sample, such as { 1, 28, 28 }")
    end
    for _, extent in ipairs(o.input) do
      if math.type(extent) ~= "integer" or extent < 1 then
        core.fail(what .. ": 'input' is the shape of one sample, such as { 1, 28, 28 }")
      end
    end
    if o.class_names and #o.class_names ~= o.classes then
      core.fail(("%s: %d class names for %d classes"):format(what, #o.class_names, o.classes))
    end
    for _, name in ipairs(o.class_names or {}) do
      if type(name) ~= "string" then core.fail(what .. ": 'class_names' is a list of strings") end
    end
    o.format = format
    o.scale = o.scale or (o.dtype == "u8" and 1 / 255 or 1)
    o.dirs = { core.path(o.dir) }
    return make(o)
  end
end

data.idx = from_files("kd.data.idx", "idx", { dtype = "u8", dtypes = { "u8" } })
data.npy = from_files("kd.data.npy", "npy", { dtype = "f32", dtypes = { "f32", "u8" } })

return data
