-- RUN: kdc %s | FileCheck %s
-- RUN: kdc %s --emit=kir --passes=canonicalize | FileCheck %s --check-prefix=KIR
-- Sums and concatenations of branches; each layer of a branch has its own row.
local kd = require "kd"
local data = kd.data.fashion_mnist()
local net = kd.network("net", data.input, function(x)
  x = kd.conv2d(x, 8, { kernel = 3, padding = 1 })
  x = kd.residual(x, function(y) return kd.conv2d(kd.relu(y), 8, { kernel = 3, padding = 1 }) end)
  local function down(y) return kd.conv2d(kd.relu(y), 16, { kernel = 3, stride = 2, padding = 1 }) end
  x = kd.residual(x, down, { shortcut = "pool" })
  x = kd.residual(x, down, { shortcut = "project", name = "last" })
  x = kd.concat { kd.max_pool(x, 3, { stride = 1, padding = 1 }), kd.conv2d(x, 4, { kernel = 1 }) }
  return kd.linear(kd.global_avg_pool(x), 10)
end)
return kd.train { network = net, data = data }
-- CHECK: conv1 {{.*}} f32[B,8,28,28]
-- CHECK-NEXT: relu1
-- CHECK-NEXT: conv2 {{.*}} f32[B,8,28,28]
-- CHECK-NEXT: residual1      residual     f32[B,8,28,28]                  0               0
-- CHECK-NEXT: relu2
-- CHECK-NEXT: conv3 {{.*}} f32[B,16,14,14]
-- CHECK-NEXT: pool1          avg_pool     f32[B,8,14,14]
-- CHECK-NEXT: residual2      residual     f32[B,16,14,14]                 0               0
-- CHECK-NEXT: relu3
-- CHECK-NEXT: conv4 {{.*}} f32[B,16,7,7]
-- CHECK-NEXT: conv5          conv2d       f32[B,16,7,7]                 272           12544
-- CHECK-NEXT: last           residual     f32[B,16,7,7]                   0               0
-- CHECK-NEXT: pool2
-- CHECK-NEXT: conv6
-- CHECK-NEXT: concat1        concat       f32[B,20,7,7]                   0               0
-- KIR: %[[POOL:.*]] = mul %{{.*}} : f32[B,8,14,14]
-- KIR: %[[WIDE:.*]] = view %[[POOL]] { at = [d0, d1, d2, d3] } : f32[B,16,14,14]
-- KIR: %residual2 = add %{{.*}}, %[[WIDE]] : f32[B,16,14,14]
-- KIR: %concat1 = concat
