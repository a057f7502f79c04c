-- RUN: kdc %s | FileCheck %s
-- The layer table: strides, padding, groups, ceil, given names, dropout; multiplications of one
-- sample.
local kd = require "kd"
local data = kd.data.fashion_mnist()
local net = kd.network("net", data.input, function(x)
  x = kd.conv2d(x, 8, { kernel = { 3, 5 }, stride = 2, padding = { 1, 2 } })
  x = kd.conv2d(x, 16, { kernel = 3, groups = 4, dilation = 2, name = "mix", bias = false })
  x = kd.avg_pool(kd.sigmoid(x), 3, { stride = 2, ceil = true })
  return kd.linear(kd.dropout(kd.flatten(x), 0.5), 10)
end)
return kd.train { network = net, data = data, batch = 32, epochs = 3 }
-- CHECK: network net, input f32[B,1,28,28]
-- CHECK: layer          kind         shape                 parameters  multiplications   activation bytes
-- CHECK-NEXT: conv1          conv2d       f32[B,8,14,14]                128           23520              6272
-- CHECK-NEXT: mix            conv2d       f32[B,16,10,10]               288           28800              6400
-- CHECK-NEXT: sigmoid1       sigmoid      f32[B,16,10,10]                 0               0              6400
-- CHECK-NEXT: pool1          avg_pool     f32[B,16,5,5]                   0               0              1600
-- CHECK-NEXT: flatten1       flatten      f32[B,400]                      0               0              1600
-- CHECK-NEXT: dropout1       dropout      f32[B,400]                      0               0              1600
-- CHECK-NEXT: fc1            linear       f32[B,10]                    4010            4000                40
-- CHECK-NEXT: total                                                 4426           56320             23912
-- CHECK: run train        trains net, batch 32, 3 epochs; planned memory: step {{.*}} (live at once {{.*}}), evaluate
