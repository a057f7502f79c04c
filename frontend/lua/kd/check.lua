-- Checks of what a script passes: tables of options with known keys, each of a known kind. Errors
-- name the function, the key and the nearest right one, and stand at the script's own line.
-- Descriptors (networks, data, runs …) are sealed: a script holds a userdata, and what is inside, the
-- record, is the library's own and stays as it was checked.

local core = ...
local check = {}

local function article(kind)
  if kind == "data" then return "a data set" end
  return (kind == "integer" or kind:sub(1, 1) == "o") and "an " .. kind or "a " .. kind
end

local kinds = {
  number = function(v) return type(v) == "number" end,
  integer = function(v) return math.type(v) == "integer" end,
  string = function(v) return type(v) == "string" end,
  boolean = function(v) return type(v) == "boolean" end,
  table = function(v) return type(v) == "table" and getmetatable(v) == nil end,
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
  local record = core.unseal(v)
  if record then return article(getmetatable(record).kind) end
  if core.is_tensor(v) then return "a tensor" end
  if type(v) == "number" then return ("a number (%s)"):format(v) end
  if type(v) == "string" then return ("a string (%q)"):format(v) end
  if type(v) == "table" and getmetatable(v) ~= nil then return "a table with a metatable" end
  return v == nil and "nothing" or article(type(v))
end

-- A list that a script gave, as a table that it cannot change afterwards.
local function copied(list)
  local result = {}
  for k, v in pairs(list) do result[k] = v end
  return result
end

-- What a script reads of a descriptor: the fields that its class shows, and its methods.
local function read(class, v, name)
  if class.methods[name] then return class.methods[name] end
  if class.shown[name] then
    local value = core.unseal(v)[name]
    return type(value) == "table" and copied(value) or value
  end
  local names = sorted_keys(class.shown)
  for method in pairs(class.methods) do names[#names + 1] = method end
  core.fail(("%s has no field '%s'%s"):format(article(class.kind), tostring(name),
    #names > 0 and "; it has " .. table.concat(names, ", ") or ""))
end

-- A kind of descriptors, of which scripts read the fields `shown` and call `methods`, functions of the
-- descriptor. The library finds `inner`, functions of the record, by the record. Other metamethods are
-- added to `sealed`.
function check.class(kind, shown)
  local class = { kind = kind, shown = {}, methods = {}, inner = {} }
  for _, name in ipairs(shown or {}) do class.shown[name] = true end
  class.__index = class.inner
  class.sealed = core.class {
    __index = function(v, name) return read(class, v, name) end,
    __newindex = function(_, name)
      core.fail(("%s cannot be changed: its '%s' is fixed"):format(article(kind), tostring(name)))
    end,
    __name = kind, __metatable = false,
  }
  return class
end

-- The descriptor of that class that stands for the record.
function check.seal(record, class)
  return core.seal(setmetatable(record, class), class.sealed)
end

-- The record of a descriptor of that kind; nil for anything else.
function check.record(v, kind)
  local record = core.unseal(v)
  return record and getmetatable(record).kind == kind and record or nil
end

-- The value as the library keeps it, if it is of that kind; else nil.
local function kept(v, kind)
  local test = kinds[kind]
  if not test then return check.record(v, kind) end
  if not test(v) then return nil end
  if kind == "table" then return copied(v) end
  return v
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

local function check_value(what, key, rule, v)
  local value = kept(v, rule[1])
  if value == nil then
    core.fail(("%s: '%s' must be %s, not %s"):format(what, key, article(rule[1]), check.describe(v)))
  elseif type(v) == "string" and #v > 4096 then
    core.fail(("%s: '%s' has %d bytes; at most 4096"):format(what, key, #v))
  elseif type(v) == "number" and v - v ~= 0 then
    core.fail(("%s: '%s' must be a finite number, not %s"):format(what, key,
      v == v and v or "nan"))
  elseif rule.min and v < rule.min then
    core.fail(("%s: '%s' must be at least %s, not %s"):format(what, key, rule.min, v))
  elseif rule.max and v > rule.max then
    core.fail(("%s: '%s' must be at most %s, not %s"):format(what, key, rule.max, v))
  end
  return value
end

-- Reads `given` by `known`: name -> { kind, default } or { kind, required = true }, or with `min`.
-- Returns a new table with every known key; in place of descriptors it has their records.
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
    if v ~= nil then
      result[key] = check_value(what, key, rule, v)
    elseif rule.required then
      core.fail(("%s: '%s' is missing"):format(what, key))
    elseif rule[2] ~= nil then
      result[key] = kept(rule[2], rule[1])
    end
  end
  return result
end

-- The length of a list, which a nil in it would end before its time.
function check.length(what, list)
  local n = 0
  for _ in ipairs(list) do n = n + 1 end
  for k in pairs(list) do
    if math.type(k) ~= "integer" then
      core.fail(("%s: a list is needed, without keys such as '%s'"):format(what, tostring(k)))
    elseif k > n then
      core.fail(("%s: entry %d of the list is nil, and %d is not"):format(what, n + 1, k))
    end
  end
  return n
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
