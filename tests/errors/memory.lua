-- RUN: not kdc %s 2>&1 | FileCheck %s
local s = "x"
while true do s = s .. s end
-- CHECK: memory.lua: error: the script needs more memory than a script may use (512 MiB at a time)
