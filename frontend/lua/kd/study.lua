-- Studies: one run for every point of a grid and every seed, compared at the end.

local core = ...
local check = require "kd.check"
local runs = require("kd.run").runs
local study = {}

local MAX_RUNS = 4096

-- The grid's axes, by name: each a list of numbers.
local function axes_of(what, over)
  local keys = {}
  for k in pairs(over) do
    if type(k) ~= "string" or not core.good_name(k) or k == "seed" then
      core.fail(("%s: 'over' has a key that is no name of what varies: %s"):format(what, tostring(k)))
    end
    keys[#keys + 1] = k
  end
  table.sort(keys)
  if #keys == 0 then core.fail(("%s: 'over' is empty: { sigma = { 0.1, 0.2 } }"):format(what)) end
  for _, k in ipairs(keys) do
    local values = over[k]
    if type(values) ~= "table" or #values == 0 then
      core.fail(("%s: 'over.%s' must be a list of numbers, not %s"):format(what, k, check.describe(values)))
    end
    for _, v in ipairs(values) do
      if type(v) ~= "number" then
        core.fail(("%s: 'over.%s' must hold numbers, not %s"):format(what, k, check.describe(v)))
      end
    end
  end
  return keys
end

-- Every combination of one value an axis, the last axis running fastest.
local function grid(over, keys)
  local points = { {} }
  for _, k in ipairs(keys) do
    local longer = {}
    for _, p in ipairs(points) do
      for _, v in ipairs(over[k]) do
        local q = { [k] = v }
        for name, value in pairs(p) do q[name] = value end
        longer[#longer + 1] = q
      end
    end
    points = longer
  end
  return points
end

local function name_of(p, keys)
  local parts = {}
  for _, k in ipairs(keys) do
    local value, text = ("%g"):format(p[k]), k
    for n = 1, #value do
      local c = value:sub(n, n)
      text = text .. (c == "-" and "m" or (c == "." or c == "+") and "_" or c)
    end
    parts[#parts + 1] = text
  end
  return table.concat(parts, "_")
end

-- study { over = { sigma = { … } }, seeds = 5, run = function(p) … end, baseline = function(p) … end }:
-- run is called with p.sigma … and p.seed, and returns a run, whose seed becomes p.seed; so does
-- baseline, with what all are compared, and each function of `also`, by name, that is beside the
-- grid. Axes stand in the order of their names.
function study.study(options)
  local what = "kd.study"
  local o = check.options(what, options, {
    over = { "table", required = true },
    seeds = { "integer", 5, min = 1, max = 1000 },
    run = { "function", required = true },
    baseline = { "function" },
    also = { "table", {} },
  })
  local keys = axes_of(what, o.over)
  local list, rows, nowhere = {}, {}, {}
  local function add(name, configuration, make, p)
    for seed = 1, o.seeds do
      local given = { seed = seed }
      for k, v in pairs(p) do given[k] = v end
      local made = make(given)
      if not check.is(made, "run") then
        core.fail(("%s: '%s' must return a run, as kd.distill makes it, not %s"):format(what,
          p == nowhere and name or "run", check.describe(made)))
      end
      made.seed = seed
      list[#list + 1] = { ("%s_seed%d"):format(name, seed), made }
      local values = {}
      for n, k in ipairs(keys) do values[n] = p[k] or 0 / 0 end
      rows[#rows + 1] = { configuration = configuration, seed = seed, values = values,
                          label = p == nowhere and name or nil }
      if #list > MAX_RUNS then core.fail(("%s: more than %d runs"):format(what, MAX_RUNS)) end
    end
  end
  if o.baseline then add("baseline", 0, o.baseline, nowhere) end
  local beside = {}
  for name, make in pairs(o.also) do
    if type(name) ~= "string" or not core.good_name(name) or name == "baseline" or type(make) ~= "function" then
      core.fail(("%s: 'also' holds functions by name, as { hard = function(p) … end }"):format(what))
    end
    beside[#beside + 1] = name
  end
  table.sort(beside)
  for n, name in ipairs(beside) do add(name, n, o.also[name], nowhere) end
  for n, p in ipairs(grid(o.over, keys)) do add(name_of(p, keys), #beside + n, o.run, p) end
  local all = runs(list)
  all.study = { keys = keys, rows = rows }
  return all
end

return study
