-- RUN: not kdc %s 2>&1 | FileCheck %s
local kd = require "kd"
return kd.train { data = kd.data.mnist() }
-- CHECK: missing-key.lua:[[@LINE-1]]: error: kd.train: 'network' is missing
