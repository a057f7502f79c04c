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
    if type(k) ~= "string" or k == "seed" then
      core.fail(("%s: 'over' has a key that is no name of what varies: %s"):format(what, tostring(k)))
    end
    local fault = core.name_fault(k)
    if fault then core.fail(("%s: 'over' has an axis '%s', which %s"):format(what, k, fault)) end
    keys[#keys + 1] = k
  end
  table.sort(keys)
  if #keys == 0 then core.fail(("%s: 'over' is empty: { sigma = { 0.1, 0.2 } }"):format(what)) end
  for _, k in ipairs(keys) do
    local values = over[k]
    if type(values) ~= "table" or getmetatable(values) ~= nil or next(values) == nil then
      core.fail(("%s: 'over.%s' must be a list of numbers, not %s"):format(what, k, check.describe(values)))
    end
    check.length(("%s: 'over.%s'"):format(what, k), values)
    local seen = {}
    for _, v in ipairs(values) do
      if type(v) ~= "number" or v - v ~= 0 then
        core.fail(("%s: 'over.%s' must hold finite numbers, not %s"):format(what, k, check.describe(v)))
      end
      local text = ("%g"):format(v) -- names of runs and labels show no more digits
      if seen[text] then
        core.fail(("%s: 'over.%s' has two values that are %s in six digits"):format(what, k, text))
      end
      seen[text] = true
    end
    over[k] = { table.unpack(values, 1, math.min(#values, MAX_RUNS + 1)) }
  end
  return keys
end

-- What a function of a study is given: the point, whose unknown names are mistakes. Beside the grid its
-- axes are nil.
local function point_of(what, given, keys)
  return setmetatable(given, { __index = function(_, name)
    for _, k in ipairs(keys) do
      if k == name then return nil end
    end
    local names = { "seed", table.unpack(keys) }
    local near = type(name) == "string" and core.nearest(name, names)
    core.fail(("%s: a point has no '%s'%s"):format(what, tostring(name),
      near and ("; did you mean '%s'?"):format(near) or "; it has " .. table.concat(names, ", ")))
  end })
end

-- Every combination of one value an axis, the last axis running fastest.
local function grid(what, over, keys)
  local points = { {} }
  for _, k in ipairs(keys) do
    local longer = {}
    if #points * #over[k] > MAX_RUNS then core.fail(("%s: more than %d runs"):format(what, MAX_RUNS)) end
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

-- What is trained with each seed: the baseline, number 0, what stands beside, and the grid's points.
local function configurations(what, o, keys)
  local list, beside = {}, {}
  if o.baseline then
    list[1] = { index = 0, name = "baseline", label = "baseline", make = o.baseline, point = {} }
  end
  for name, make in pairs(o.also) do
    if type(name) ~= "string" or name == "baseline" or type(make) ~= "function" then
      core.fail(("%s: 'also' holds functions by name, as { hard = function(p) … end }"):format(what))
    end
    local fault = core.name_fault(name)
    if fault then core.fail(("%s: 'also' has a '%s', which %s"):format(what, name, fault)) end
    beside[#beside + 1] = name
  end
  table.sort(beside)
  for n, name in ipairs(beside) do
    list[#list + 1] = { index = n, name = name, label = name, make = o.also[name], point = {} }
  end
  for n, point in ipairs(grid(what, o.over, keys)) do
    list[#list + 1] = { index = #beside + n, name = name_of(point, keys), make = o.run, point = point }
  end
  return list
end

-- study { over = { sigma = { … } }, seeds = 5, run = function(p) … end, baseline = function(p) … end }:
-- run is called with p.sigma … and p.seed, and returns a run, whose seed becomes p.seed; so does
-- baseline, with what all are compared, and each function of `also`, by name, that is beside the
-- grid. Axes stand in the order of their names. All configurations run with one seed before the next:
-- what is stopped early compares all of them already.
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
  local all, list, rows = configurations(what, o, keys), {}, {}
  if #all * o.seeds > MAX_RUNS then core.fail(("%s: more than %d runs"):format(what, MAX_RUNS)) end
  for seed = 1, o.seeds do
    for _, c in ipairs(all) do
      local given, values = { seed = seed }, {}
      for n, k in ipairs(keys) do
        given[k] = c.point[k]
        values[n] = c.point[k] or 0 / 0
      end
      local made = c.make(point_of(what, given, keys))
      local record = check.record(made, "run")
      if not record then
        core.fail(("%s: '%s' must return a run, as kd.distill makes it, not %s"):format(what,
          c.label or "run", check.describe(made)))
      end
      record.seed = seed
      list[#list + 1] = { ("%s_seed%d"):format(c.name, seed), made }
      rows[#rows + 1] = { configuration = c.index, seed = seed, values = values, label = c.label }
    end
  end
  local result = runs(list)
  check.record(result, "list of runs").study = { keys = keys, rows = rows }
  return result
end

return study
