-- RUN: kdc %s --emit=kir --run noisy --passes=canonicalize --set sigma=0.25 | FileCheck %s
-- RUN: kdc %s --emit=kir --run teacher --passes=canonicalize --batch 16 --seed 5 | FileCheck --check-prefix=TEACHER %s
-- A network from another file of the script's folder, its lines kept; roles, sites, the program.
local kd = require "kd"
local mlp = require "Inputs.mlp"
local data = kd.data.fashion_mnist()
local big = kd.network("big", data.input, mlp(32))
local small = kd.network("small", data.input, mlp(8))
local teacher = kd.train { network = big, data = data, batch = 8, epochs = 2,
  optimizer = kd.sgd { lr = 0.1, momentum = 0.9, nesterov = true },
  schedule = kd.schedule.cosine { warmup = 1 } }
return kd.runs {
  { "teacher", teacher },
  { "noisy", kd.distill { teacher = teacher, student = small, data = data:take(100),
    noise = kd.noise { sigma = kd.param("sigma", 0.5), alpha = 0.15, draw = "batch" } } },
}
-- CHECK: hyper %sigma = 0.25
-- CHECK: hyper %alpha = 0.15
-- CHECK: param %small.fc1.weight : f32[8,784] { init = "he_uniform", fan_in = 784, fan_out = 8 }
-- CHECK: program { trained = "small", batch = 64, epochs = 10, seed = 1, optimizer = "adam", noise.kind = "multiplicative", noise.scope = "class", noise.draw = "batch", noise.site = "teacher.logits", noise.sigma = "sigma", noise.alpha = "alpha" }
-- CHECK: func @small(%x: f32[B<=64,1,28,28] input
-- CHECK: contract {{.*}}role(student) loc("{{.*}}mlp.lua":4)
-- CHECK: func @big(%x: f32[B<=64,1,28,28] input
-- CHECK: contract {{.*}}role(teacher) loc("{{.*}}mlp.lua":4)
-- CHECK: func @objective(%images: u8[N,1,28,28] data {{.*}}%index: i32[B<=64] index {{.*}}%labels: u8[N] data {{.*}}%epoch: i32 epoch {{.*}}%step: i32 step
-- CHECK: gather %images, %index : u8[B,1,28,28]
-- CHECK: role(teacher) site("teacher.logits")
-- CHECK: role(student) site("student.logits")
-- CHECK: %loss = div {{.*}} : f32 role(loss) loc(14)
-- CHECK: func @evaluate(%images: u8[N,1,28,28] data
-- CHECK: -> (f32[B,10])
-- TEACHER: hyper %lr = 0.1
-- TEACHER: hyper %momentum = 0.9
-- TEACHER: program { trained = "big", batch = 16, epochs = 2, seed = 5, optimizer = "sgd", nesterov = 1, schedule = "cosine", schedule.steps = 6876, warmup = 3438 }
-- TEACHER-NOT: func @small
-- RUN: kdc %s --emit=kir --run teacher --passes=canonicalize --batch 16 --epochs 1 | FileCheck --check-prefix=SHORT %s
-- SHORT: program { trained = "big", batch = 16, epochs = 1, {{.*}} schedule.steps = 3438, warmup = 1719 }
-- TEACHER: func @objective(
