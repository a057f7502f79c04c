-- RUN: not kdc %s 2>&1 | FileCheck %s
-- An error of Lua itself, with the calls that led to it.
local function inner(t)
  return t.x.y + 1
end
local function outer(t)
  local r = inner(t)
  return r
end
local result = outer({})
-- CHECK: runtime.lua:[[@LINE-7]]: error: attempt to index a nil value (field 'x')
-- CHECK-NEXT: runtime.lua:[[@LINE-8]]: note: in {{function|upvalue}}{{.*}}'inner'
-- CHECK-NEXT: runtime.lua:[[@LINE-6]]: note: in {{function|local}}{{.*}}'outer'
-- CHECK-NEXT: runtime.lua:[[@LINE-4]]: note: in the main chunk
