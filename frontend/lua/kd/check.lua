-- Checks of what a script passes: tables of options with known keys, each of a known kind. Errors
-- name the function, the key and the nearest right one, and stand at the script's own line.

local core = ...
local check = {}

local function article(kind)
  return (kind == "integer" or kind:sub(1, 1) == "o") and "an " .. kind or "a " .. kind
end

local kinds = {
  number = function(v) return type(v) == "number" end,
  integer = function(v) return math.type(v) == "integer" end,
  string = function(v) return type(v) == "string" end,
  boolean = function(v) return type(v) == "boolean" end,
  table = function(v) return type(v) == "table" end,
  ["function"] = function(v) return type(v) == "function" end,
  any = function() return true end,
}

local function sorted_keys(t)
  local names = {}
  for name in pairs(t) do
    if type(name) == "string" then names[#names + 1] = name end
  end
  return names
end

-- What the value is, in a message: "a network", "a number (3)".
function check.describe(v)
  local meta = type(v) == "table" and getmetatable(v)
  if meta and meta.kind then return article(meta.kind) end
  if core.is_tensor(v) then return "a tensor" end
  if type(v) == "number" then return ("a number (%s)"):format(v) end
  if type(v) == "string" then return ("a string (%q)"):format(v) end
  return v == nil and "nothing" or article(type(v))
end

-- Marks a table of descriptors: check.is(v, "network").
function check.class(kind)
  local meta = { kind = kind }
  meta.__index = meta
  return meta
end

function check.is(v, kind)
  local meta = type(v) == "table" and getmetatable(v)
  return (meta and meta.kind == kind) or false
end

local function fits(v, kind)
  local test = kinds[kind]
  if test then return test(v) end
  return check.is(v, kind)
end

-- A word out of a list.
function check.word(what, key, v, words)
  for _, w in ipairs(words) do
    if v == w then return v end
  end
  local near = type(v) == "string" and core.nearest(v, words)
  core.fail(("%s: '%s' is one of %s, not %s%s"):format(what, key, table.concat(words, ", "),
    check.describe(v), near and ("; did you mean '%s'?"):format(near) or ""))
end

-- Reads `given` by `known`: name -> { kind, default } or { kind, required = true }, or with `min`.
-- Returns a new table with every known key.
function check.options(what, given, known)
  if given == nil then given = {} end
  if type(given) ~= "table" or getmetatable(given) ~= nil then
    core.fail(("%s: options are a table { name = value }, not %s"):format(what, check.describe(given)))
  end
  local result = {}
  for key in pairs(given) do
    if type(key) ~= "string" then
      core.fail(("%s: a value without a key: options are { name = value }"):format(what))
    end
    if not known[key] then
      local names = sorted_keys(known)
      local near = core.nearest(key, names)
      core.fail(("%s: unknown key '%s'%s"):format(what, key,
        near and ("; did you mean '%s'?"):format(near)
          or ("; it takes " .. table.concat(names, ", "))))
    end
  end
  for key, rule in pairs(known) do
    local v = given[key]
    if v == nil then
      if rule.required then core.fail(("%s: '%s' is missing"):format(what, key)) end
      v = rule[2]
    elseif not fits(v, rule[1]) then
      core.fail(("%s: '%s' must be %s, not %s"):format(what, key, article(rule[1]), check.describe(v)))
    elseif rule.min and v < rule.min then
      core.fail(("%s: '%s' must be at least %s, not %s"):format(what, key, rule.min, v))
    elseif rule.max and v > rule.max then
      core.fail(("%s: '%s' must be at most %s, not %s"):format(what, key, rule.max, v))
    elseif type(v) == "number" and v ~= v then
      core.fail(("%s: '%s' is not a number"):format(what, key))
    end
    result[key] = v
  end
  return result
end

-- A positive integer, or a list of two: (height, width).
function check.pair(what, key, v, least)
  local a, b = v, v
  if type(v) == "table" and getmetatable(v) == nil and #v == 2 then a, b = v[1], v[2] end
  if math.type(a) ~= "integer" or math.type(b) ~= "integer" or a < least or b < least
      or a > 65536 or b > 65536 then
    core.fail(("%s: '%s' must be an integer or { height, width }, at least %d, not %s")
      :format(what, key, least, check.describe(v)))
  end
  return { a, b }
end

return check
