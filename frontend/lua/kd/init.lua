-- `kd`: networks, losses, optimisers, data and runs, as a script sees them. The parts are modules
-- of their own; this table joins them.

local core = ...
local check = require "kd.check"

-- Functions as scripts call them: errors find the caller's line even from `return kd.f(x)`.
local function entries(part, into)
  for name, f in pairs(part) do
    if name ~= "describe" then into[name] = core.entry(f) end
  end
  return into
end

local kd = {
  loss = entries(require "kd.loss", {}),
  ensemble = entries(require "kd.ensemble", {}),
  data = entries(require "kd.data", {}),
  init = entries(require "kd.initial", {}),
  schedule = entries(require "kd.schedule", {}),
}
for _, part in ipairs { "kd.ops", "kd.layers", "kd.branches", "kd.normalize", "kd.optimizer", "kd.augment", "kd.run", "kd.study" } do
  entries(require(part), kd)
end
core.methods(entries(require "kd.ops", {}))

-- A number that `--set name=value` overrides; without a default nil where it is not given.
local function param(name, default)
  if type(name) ~= "string" or (default ~= nil and type(default) ~= "number") then
    core.fail("kd.param: a name and a number, as in kd.param(\"sigma\", 0.6)")
  end
  if #name > 64 then core.fail("kd.param: a name has at most 64 letters") end
  return core.param(name, default)
end
kd.param = core.entry(param)

-- The same inside a loss, as a scalar tensor: a hyperparameter of the generated code.
kd.hyper = core.entry(function(name, default)
  if type(default) ~= "number" then
    core.fail("kd.hyper: a name and a number, as in kd.hyper(\"weight\", 0.3)")
  end
  return core.hyper(name, param(name, default))
end)

-- A wrong name is a mistake worth a word, not a nil that fails later.
local function named(part, path)
  return setmetatable(part, { __index = function(_, name)
    local names = {}
    for known in pairs(part) do names[#names + 1] = known end
    local near = core.nearest(tostring(name), names)
    local all = path == "kd" and "" or "; it has " .. table.concat(names, ", ")
    core.fail(("%s.%s does not exist%s"):format(path, tostring(name),
      near and ("; did you mean %s.%s?"):format(path, near) or all))
  end })
end

for _, name in ipairs { "loss", "ensemble", "data", "init", "schedule" } do named(kd[name], "kd." .. name) end
return named(kd, "kd")
