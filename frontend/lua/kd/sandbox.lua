-- The sandbox's Lua half: standard functions that could run long, or differently from one run to
-- the next, are replaced before any line of a script is run. Returns the library's globals.

local raw_next, raw_type, raw_setmetatable = next, type, setmetatable
local getmetatable, rawget, rawequal, sort = getmetatable, rawget, rawequal, table.sort
local error, tostring, select = error, tostring, select

-- Keys in an order of their own: numbers, then strings, then the rest as they come. Lua's own
-- order differs from run to run, and a network may be built in a loop over pairs.
local function before(a, b)
  local p, q = raw_type(a), raw_type(b)
  if p ~= q then return p < q end
  return a < b
end

function pairs(t)
  local meta = raw_type(t) == "table" and getmetatable(t)
  if raw_type(meta) == "table" and meta.__pairs then return meta.__pairs(t) end
  local keys, rest, n = {}, {}, 0
  for k in raw_next, t do
    local kind = raw_type(k)
    if kind == "number" or kind == "string" then keys[#keys + 1] = k else rest[#rest + 1] = k end
  end
  sort(keys, before)
  for k = 1, #rest do keys[#keys + 1] = rest[k] end
  return function()
    while n < #keys do
      n = n + 1
      local value = rawget(t, keys[n])
      if value ~= nil then return keys[n], value end
    end
  end, t, nil
end

-- A finaliser would run where no limit holds.
function setmetatable(t, meta)
  if raw_type(meta) == "table" and rawget(meta, "__gc") ~= nil then
    error("setmetatable: __gc is not allowed here", 2)
  end
  return raw_setmetatable(t, meta)
end

-- Nothing, so many times that counting them does not end.
local rep = string.rep
function string.rep(s, n, separator)
  if (s == "" or s == nil) and (separator == nil or separator == "") then n = 1 end
  return rep(s, n, separator)
end

-- In C these walk along a format, which could be as long as memory is.
for _, name in ipairs { "format", "pack", "packsize", "unpack" } do
  local plain = string[name]
  string[name] = function(format, ...)
    if raw_type(format) == "string" and #format > 65536 then
      error("string." .. name .. ": a format has at most 65536 bytes", 2)
    end
    return plain(format, ...)
  end
end

-- In C this compares for minutes without an instruction of Lua, at which limits are looked at.
local function less(a, b) return a < b end
table.sort = function(t, f) return sort(t, f or less) end

-- These loop in C over #t, which a metatable could make as long as it likes, and so could holes: a
-- table of 1, 2, 4, 8 … has any of these as its length. No list of so many fits into memory.
local MOST = 1 << 25
for _, name in ipairs { "insert", "remove", "concat", "sort", "unpack" } do
  local plain = table[name]
  table[name] = function(t, ...)
    if raw_type(t) == "table" and getmetatable(t) ~= nil then
      error("table." .. name .. ": not for a table with a metatable", 2)
    elseif raw_type(t) == "table" and #t > MOST then
      error("table." .. name .. ": not for a table with holes", 2)
    end
    return plain(t, ...)
  end
end

local function copy(t)
  local result = {}
  for k, v in raw_next, t do result[k] = v end
  return result
end

-- Methods of strings as they are now; those that a script adds to `string` are found as well.
local strings = getmetatable("")
strings.__index = raw_setmetatable(copy(string), { __index = string })
strings.__metatable = false

-- A misspelt variable is a mistake, not a nil that leaves out what it should have been.
raw_setmetatable(_G, {
  __index = function(_, name) error(("there is no '%s'"):format(tostring(name)), 2) end,
  __metatable = false,
})

-- Copies, which no script can reach.
local library = copy(_G)
library._G = nil
for _, name in ipairs { "math", "string", "table" } do library[name] = copy(_G[name]) end
return library
