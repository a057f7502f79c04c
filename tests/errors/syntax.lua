-- RUN: not kdc %s 2>&1 | FileCheck %s
local kd = require "kd"
local x = = 3
-- CHECK: syntax.lua:[[@LINE-1]]: error: unexpected symbol near '='
