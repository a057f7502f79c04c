-- Networks, noise and runs. `describe` turns what a script returns into the plain array that the
-- lowering reads: teachers before those who learn from them.

local core = ...
local check = require "kd.check"
local places = require "kd.places"
local Network, Noise = check.class("network", { "name" }), check.class("noise")
local Run, Runs = check.class("run"), check.class("list of runs")
local run = {}

local MOST_TEACHERS = 48 -- KD_MAX_TEACHERS of host.h

-- network(name, input shape, function(x) … end)
function run.network(name, input, f)
  if type(name) ~= "string" or name == "" then
    core.fail("kd.network: the name comes first, as in kd.network(\"student\", data.input, f)")
  end
  local fault = core.name_fault(name)
  if fault then core.fail(("kd.network: '%s' %s"):format(name, fault)) end
  if type(input) ~= "table" or #input == 0 then
    core.fail(("kd.network: the input's shape comes second, as data.input or { 1, 28, 28 }, not %s")
      :format(check.describe(input)))
  end
  for _, extent in ipairs(input) do
    if math.type(extent) ~= "integer" or extent < 1 then
      core.fail(("kd.network: an extent of the input is %s"):format(check.describe(extent)))
    end
  end
  if type(f) ~= "function" then
    core.fail(("kd.network: a function (x) comes third, not %s"):format(check.describe(f)))
  end
  return check.seal({ name = name, index = core.network(name, input, f) }, Network)
end

-- noise { kind, scope, draw, site, sigma, alpha }: z' = (1 + xi) z or z + xi, xi ~ N(0, sigma²), on
-- a sample with probability alpha. sigma is a standard deviation; or { lo, hi } for one drawn
-- uniformly per batch; or { from =, to =, epochs = }: that goes from one to the other, by equal steps, in
-- as many epochs (of the run, when it does not say), and stays there.
function run.noise(options)
  local what = "kd.noise"
  local o = check.options(what, options, {
    kind = { "string", "multiplicative" },
    scope = { "string", "class" },
    draw = { "string", "sample" },
    site = { "string", "teacher.logits" },
    sigma = { "any", required = true },
    alpha = { "number", 1, min = 0, max = 1 },
  })
  check.word(what, "kind", o.kind, { "multiplicative", "additive" })
  check.word(what, "scope", o.scope, { "class", "scalar" })
  check.word(what, "draw", o.draw, { "sample", "batch" })
  if o.site == "teacher" or o.site == "student" then o.site = o.site .. ".logits" end
  local program, hypers, falling = {}, {}, false
  local function key(name, value) program[#program + 1] = { "noise." .. name, value } end
  for _, name in ipairs { "kind", "scope", "draw", "site" } do key(name, o[name]) end
  local function hyper(name, value)
    if type(value) ~= "number" or not (value >= 0 and value < math.huge) then
      core.fail(("%s: 'sigma' must be a finite number, { lo, hi } or { from =, to = }, at least 0, not %s")
        :format(what, check.describe(value)))
    end
    key(name, name)
    hypers[#hypers + 1] = { name, value }
  end
  if type(o.sigma) == "table" and #o.sigma == 0 then
    local s = check.options(what .. ": sigma", o.sigma, {
      from = { "number", required = true }, to = { "number", required = true },
      epochs = { "integer", min = 1, max = 1000000 },
    })
    hyper("sigma_from", s.from)
    hyper("sigma_to", s.to)
    if s.epochs then key("sigma_epochs", s.epochs) end
    falling = not s.epochs
  elseif type(o.sigma) == "table" then
    check.length(what .. ": 'sigma'", o.sigma)
    if #o.sigma ~= 2 then
      core.fail(("%s: 'sigma' as a range is { lo, hi }, two numbers, not %d"):format(what, #o.sigma))
    end
    hyper("sigma_lo", o.sigma[1])
    hyper("sigma_hi", o.sigma[2])
    if o.sigma[1] > o.sigma[2] then
      core.fail(("%s: 'sigma' is { lo, hi } with lo <= hi, not { %s, %s }"):format(what,
        o.sigma[1], o.sigma[2]))
    end
  else
    hyper("sigma", o.sigma)
  end
  hyper("alpha", o.alpha)
  return check.seal({ program = program, hypers = hypers, site = o.site, falling = falling }, Noise)
end

local run_keys = {
  data = { "data", required = true },
  loss = { "any" },
  optimizer = { "optimizer", require("kd.optimizer").adam() },
  schedule = { "schedule" },
  noise = { "noise" },
  augment = { "augmentation" },
  batch = { "integer", 64, min = 1, max = 65536 },
  epochs = { "integer", 10, min = 1, max = 1000000 },
  seed = { "integer", 1, min = 0 },
  patience = { "integer", 0, min = 0 },
  min_epochs = { "integer", 0, min = 0 },
  resample = { "boolean", false },
}

local function read_run(what, options, more)
  local keys = {}
  for k, v in pairs(run_keys) do keys[k] = v end
  for k, v in pairs(more) do keys[k] = v end
  local o = check.options(what, options, keys)
  if type(o.loss) ~= "function" and not check.record(o.loss, "loss") then
    core.fail(("%s: 'loss' must be a function (s, t, y) or one of kd.loss, not %s"):format(what,
      check.describe(o.loss)))
  end
  if o.patience > 0 and o.data.validation == 0 then
    core.fail(("%s: 'patience' waits for validation to improve, and the data set '%s' has no samples for it")
      :format(what, o.data.name))
  end
  o.where = core.where()
  o.what = what
  return o
end

-- train { network, data, loss, optimizer, schedule, noise, augment, batch, epochs, seed, patience,
-- min_epochs, resample }: a run ends when validation has not improved for `patience` epochs, but not
-- before min_epochs. With `resample` its training samples are as many draws from them, with repetition,
-- the same in each epoch: teachers of different seeds are bagged.
function run.train(options)
  local given = options
  if type(options) == "table" and getmetatable(options) == nil and options.loss == nil then
    given = {}
    for k, v in pairs(options) do given[k] = v end
    given.loss = require("kd.loss").cross_entropy()
  end
  local o = read_run("kd.train", given, { network = { "network", required = true } })
  if o.noise and o.noise.site == "teacher.logits" then
    core.fail("kd.train: 'noise' is for a teacher's logits, and this run has no teacher: kd.distill has one; "
      .. "site = \"student\" puts it into the network's own")
  end
  o.teachers = {}
  return check.seal(o, Run)
end

-- The records of a run or a list of runs that are to teach.
local function teachers_of(v)
  local list, result = check.record(v, "run") and { v } or v, {}
  if type(list) ~= "table" or getmetatable(list) ~= nil or #list == 0 then
    core.fail(("kd.distill: 'teacher' must be a run, as kd.train returns it, or a list of runs, "
      .. "not %s"):format(check.describe(v)))
  end
  check.length("kd.distill: 'teacher'", list)
  if #list > MOST_TEACHERS then
    core.fail(("kd.distill: 'teacher' lists %d runs; at most %d may teach one student"):format(#list,
      MOST_TEACHERS))
  end
  for k, t in ipairs(list) do
    result[k] = check.record(t, "run")
    if not result[k] then
      core.fail(("kd.distill: 'teacher' must be a run, as kd.train or kd.load returns it, not %s")
        :format(check.describe(t)))
    end
  end
  return result
end

-- distill { teacher = run or list of runs, student = network, combine, teacher_dropout, … as train }:
-- the loss is called with what `combine`, a function of the list of the teachers' logits such as
-- kd.ensemble has, makes of them: their mean when none is given. teacher_dropout = true leaves the
-- teachers' dropout on.
function run.distill(options)
  local given = options
  if type(options) == "table" and getmetatable(options) == nil and options.loss == nil then
    given = {}
    for k, v in pairs(options) do given[k] = v end
    given.loss = require("kd.loss").logits()
  end
  local o = read_run("kd.distill", given, {
    teacher = { "any", required = true },
    combine = { "function" },
    teacher_dropout = { "boolean", false },
    student = { "network", required = true },
  })
  o.network = o.student
  o.teachers = teachers_of(o.teacher)
  local seen = {}
  for _, t in ipairs(o.teachers) do
    if t.network == o.network then
      core.fail(("kd.distill: '%s' cannot teach itself; define a second network")
        :format(o.network.name))
    end
    if seen[t.network] then
      core.fail(("kd.distill: two teachers share the network '%s'"):format(t.network.name))
    end
    seen[t.network] = true
  end
  return check.seal(o, Run)
end

-- load { network, weights = "FILE.safetensors", data, batch }: a run that is done already, for a teacher
-- trained elsewhere. The file's names are the network's: a PyTorch state dict as it is. Its path is
-- relative to the script.
function run.load(options)
  local what = "kd.load"
  local o = check.options(what, options, {
    network = { "network", required = true },
    weights = { "string", required = true },
    data = { "data", required = true },
    batch = run_keys.batch,
  })
  if not core.inside(o.weights) then
    core.fail(("%s: 'weights' is a file below the script's folder, by its name from there, not %q")
      :format(what, o.weights))
  end
  o.weights = core.path(o.weights)
  local fault = core.file_fault(o.weights)
  if fault then core.fail(("%s: %s %s"):format(what, o.weights, fault)) end
  o.loss, o.optimizer = require("kd.loss").cross_entropy(), check.record(run_keys.optimizer[2], "optimizer")
  o.epochs, o.seed, o.patience, o.min_epochs = 1, 1, 0, 0
  o.where, o.what, o.teachers = core.where(), what, {}
  return check.seal(o, Run)
end

-- runs { { "name", run }, … }: the rows of the table, in order, but that teachers stand before those
-- whom they teach, and one that teaches alone before all.
function run.runs(list)
  if type(list) ~= "table" then core.fail("kd.runs: a list of { name, run } is needed") end
  local names, entries = {}, {}
  check.length("kd.runs", list)
  for k, entry in ipairs(list) do
    local name = type(entry) == "table" and entry[1]
    local record = type(entry) == "table" and check.record(entry[2], "run")
    if type(name) ~= "string" or not record then
      core.fail(("kd.runs: entry %d must be { name, run }, as in { \"noisy\", kd.distill { … } }")
        :format(k))
    end
    if check.length(("kd.runs: entry %d"):format(k), entry) > 2 then
      core.fail(("kd.runs: entry %d has more than a name and a run"):format(k))
    end
    local fault = core.name_fault(name)
    if fault then core.fail(("kd.runs: '%s' %s"):format(name, fault)) end
    if names[name] then core.fail(("kd.runs: two runs are named '%s'"):format(name)) end
    names[name], entries[k] = true, { name, record }
  end
  if #entries == 0 then core.fail("kd.runs: there is no run in the list") end
  return check.seal({ list = entries, where = core.where() }, Runs)
end

-- --- from descriptors to the plain array --------------------------------------------------------

local function program_of(o, epochs, batch)
  local keys = {
    { "trained", o.network.name }, { "batch", batch }, { "epochs", epochs }, { "seed", o.seed },
    { "optimizer", o.optimizer.name },
  }
  local function add(list)
    for _, pair in ipairs(list) do keys[#keys + 1] = pair end
  end
  add(o.optimizer.program)
  local ramp = o.optimizer.momentum_epochs
  local schedule = o.schedule or ramp and check.record(require("kd.schedule").constant(), "schedule")
  if schedule then
    local samples = o.data:samples() -- nil: the driver counts them
    add(schedule:program(epochs, o.epochs, samples and -(-samples // batch), ramp))
  end
  if o.noise then add(o.noise.program) end
  if o.noise and o.noise.falling then add { { "noise.sigma_epochs", epochs } } end
  if o.data.omit then add { { "omit", o.data.omit } } end
  if o.resample then add { { "resample", 1 } } end -- the driver draws the order
  if o.teacher_dropout then add { { "teacher_dropout", 1 } } end -- the verifier asks for it
  return keys
end

local function hypers_of(o)
  local hypers = {}
  for _, pair in ipairs(o.optimizer.hypers) do hypers[#hypers + 1] = pair end
  for _, pair in ipairs(o.noise and o.noise.hypers or {}) do hypers[#hypers + 1] = pair end
  return hypers
end

local function limited(data, limit)
  return limit and limit > 0 and data:limited(limit) or data
end

-- The run that teaches, of a list in which no other does; or nil.
local function only_teacher(list)
  local found
  for _, entry in ipairs(list) do
    for _, t in ipairs(entry[2].teachers) do
      if (found and found ~= t) or #t.teachers > 0 then return nil end
      found = t
    end
  end
  return found
end

-- The array for lower.c. `options` are the command line's: epochs, batch, seed, limit.
function run.describe(result, options)
  local one = check.record(result, "run")
  if one then result = run.runs { { one.what:sub(4), result } } end
  local described = check.record(result, "list of runs")
  if not described then
    core.fail(("the script must return a run, as kd.train or kd.distill make it, or kd.runs { … }; "
      .. "it returns %s"):format(check.describe(result)))
  end
  result = described
  if result.study and options.seed then
    core.fail("a study has seeds of its own: 'seeds' of kd.study, not --seed")
  end
  local out, index, names, given, limits = { listed = {}, study = result.study }, {}, {}, {}, {}
  for _, entry in ipairs(result.list) do
    names[entry[1]] = true
    given[entry[2]] = given[entry[2]] or entry[1]
  end

  local function name_of(o)
    local wanted, n = o.network.name, 1
    local name = wanted
    while names[name] do
      n = n + 1
      name = wanted .. "_" .. n
    end
    names[name] = true
    return name
  end

  local function add(o, name)
    if index[o] then return index[o] end
    local teachers = {}
    for k, t in ipairs(o.teachers) do
      teachers[k] = add(t, given[t])
      out[teachers[k]].role = "teacher"
    end
    limits[o.data] = limits[o.data] or limited(o.data, options.limit)
    local data = limits[o.data]
    local epochs, batch = options.epochs or o.epochs, options.batch or o.batch
    local seed = options.seed or o.seed
    local shown = setmetatable({ seed = seed, data = data }, { __index = o })
    out[#out + 1] = {
      loss = function(s, t, y, raw) return o.loss(s, t, y, places.of(raw)) end,
      name = name or name_of(o), role = "student", network = o.network.index, data = data,
      teachers = teachers, combine = o.combine,
      teacher_dropout = o.teacher_dropout, augment = o.augment and o.augment.apply, where = o.where,
      batch = batch, epochs = epochs, seed = seed, patience = o.patience, min_epochs = o.min_epochs,
      weights = o.weights, program = program_of(shown, epochs, batch), hypers = hypers_of(o),
    }
    index[o] = #out
    return #out
  end

  local first = only_teacher(result.list) -- the others are compared with it
  if first then add(first, given[first]) end
  for k, entry in ipairs(result.list) do
    if given[entry[2]] ~= entry[1] then
      core.fail(("kd.runs: '%s' and '%s' are the same run"):format(given[entry[2]], entry[1]),
        result.where)
    end
    out.listed[k] = add(entry[2], entry[1])
  end
  return out
end

return run
