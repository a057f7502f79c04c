-- What a loss is given beside logits and labels: `at.input`, the batch as the networks see it;
-- `at.epoch`, the epochs behind us as a number; and what the networks named with kd.site:
-- `at.student.NAME`, `at.teacher.NAME` of the first teacher, `at.teachers[k].NAME` of the others.

local core = ...
local ops = require "kd.ops"
local places = {}

-- A table whose unknown names are mistakes.
local function sites(owner, known)
  return setmetatable({}, { __index = function(_, name)
    if known[name] then return known[name] end
    local names = {}
    for k in pairs(known) do names[#names + 1] = k end
    table.sort(names)
    core.fail(("the %s has no site '%s'; %s"):format(owner, tostring(name),
      #names == 0 and "kd.site(x, \"name\") in its function makes one"
        or "it has " .. table.concat(names, ", ")))
  end })
end

-- `raw` is what lower.c hands over.
function places.of(raw)
  local teachers = {}
  for k, t in ipairs(raw.teachers) do teachers[k] = sites("teacher", t) end
  local at = {
    input = raw.input, student = sites("student", raw.student), teachers = teachers,
    teacher = teachers[1] or sites("teacher", {}),
  }
  return setmetatable(at, { __index = function(_, name)
    if name == "epoch" then return ops.float(raw.epoch) end
    core.fail(("a loss is given input, epoch, student, teacher and teachers, but no '%s'"):format(tostring(name)))
  end })
end

return places
