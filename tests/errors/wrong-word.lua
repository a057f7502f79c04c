-- RUN: not kdc %s 2>&1 | FileCheck %s
local kd = require "kd"
kd.noise { sigma = 0.5, kind = "aditive" }
-- CHECK: wrong-word.lua:[[@LINE-1]]: error: kd.noise: 'kind' is one of multiplicative, additive, not a string ("aditive"); did you mean 'additive'?
