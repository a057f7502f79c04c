-- RUN: kdc %s --emit=kir --run distilled --passes=canonicalize | FileCheck %s
-- RUN: kdc %s --emit=kir --run distilled | FileCheck %s --check-prefix=FUSED
-- While it trains, a network has the batch's statistics and returns new running ones; its teacher and its own
-- evaluation have the running ones, as a factor and a summand of the product before.
local kd = require "kd"
local data = kd.data.fashion_mnist()
local function network(name)
  return kd.network(name, data.input, function(x)
    x = kd.conv2d(x, 8, { kernel = 3, bias = false })
    x = kd.batch_norm(x, { momentum = 0.25 })
    return kd.linear(kd.flatten(kd.relu(x)), 10)
  end)
end
local teach = kd.train { network = network("teacher"), data = data }
return kd.runs { { "distilled", kd.distill { teacher = teach, student = network("student"), data = data } } }
-- CHECK: param %student.bn1.weight : f32[8] { init = "constant", value = 1 }
-- CHECK: param %student.bn1.running_mean : f32[8] { init = "constant", value = 0, running = 1 }
-- CHECK: param %student.bn1.running_var : f32[8] { init = "constant", value = 1, running = 1 }
-- CHECK-LABEL: func @objective(
-- CHECK-SAME: -> (f32, f32[8], f32[8])
-- CHECK: add %teacher.bn1.running_var, %{{.*}} : f32[8] role(teacher)
-- CHECK: %[[SUM:.*]] = reduce_sum %student.conv1 { axes = [0, 2, 3] } : f32[8] role(student)
-- CHECK: %[[OFF:.*]] = sub %student.conv1, %{{.*}} : f32[B,8,26,26] role(student)
-- CHECK: %[[SQUARE:.*]] = mul %[[OFF]], %[[OFF]]
-- CHECK: reduce_sum %[[SQUARE]] { axes = [0, 2, 3] } : f32[8] role(student)
-- CHECK: mul %student.bn1.running_mean, %{{.*}} : f32[8]
-- CHECK: %[[MEAN:.*]] = add
-- CHECK: mul %student.bn1.running_var, %{{.*}} : f32[8]
-- CHECK: %[[VAR:.*]] = add
-- CHECK: return %loss, %[[MEAN]], %[[VAR]]

-- FUSED-LABEL: func @evaluate(
-- FUSED: %student.relu1 = kernel %x{{.*}}, %student.conv1.weight, %[[SCALE:[^,]*]], %[[SHIFT:[^ ]*]] { kind = "contract" }
-- FUSED: %[[PRODUCT:.*]] = contract
-- FUSED: mul %[[PRODUCT]],
-- FUSED: add
-- FUSED: yield
