-- RUN: not kdc %s 2>&1 | FileCheck %s
while true do
  pcall(function() while true do end end)
end
-- CHECK: endless.lua:{{[23]}}: error: the script takes too long
