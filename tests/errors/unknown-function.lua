-- RUN: not kdc %s 2>&1 | FileCheck %s
local kd = require "kd"
kd.network("a", { 1, 28, 28 }, function(x) return kd.maxpool(x, 2) end)
-- CHECK: unknown-function.lua:[[@LINE-1]]: error: kd.maxpool does not exist; did you mean kd.max_pool?
