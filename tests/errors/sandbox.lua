-- RUN: not kdc %s 2>&1 | FileCheck %s
-- What could leave the sandbox is not there.
for _, name in ipairs { "io", "os", "debug", "package", "coroutine", "load", "loadfile", "dofile" } do
  assert(rawget(_G, name) == nil, name)
end
assert(string.dump == nil and math.random == nil and not pcall(require, "../x"))
os.execute("true")
-- CHECK: sandbox.lua:[[@LINE-1]]: error: there is no 'os': it is not in the sandbox
