-- What a run compiles to: IR after any pass, LLVM IR, assembly; and that IR text is read back.
-- RUN: not kdc %s --emit=kir 2>&1 | FileCheck %s --check-prefix=SEVERAL
-- RUN: not kdc %s --emit=kir --run studnt 2>&1 | FileCheck %s --check-prefix=NAME
-- RUN: not kdc %s --dump-ir=autodif --run teach 2>&1 | FileCheck %s --check-prefix=PASS
-- RUN: not kdc %s -o x 2>&1 | FileCheck %s --check-prefix=OUTPUT
-- RUN: kdc %s --run teach --dump-ir=autodiff,optimize | FileCheck %s --check-prefix=DUMP
-- RUN: kdc %s --run teach --dump-ir | FileCheck %s --check-prefix=FINAL
-- RUN: kdc %s --run teach --emit=kir -o %t.kir && kdc opt %t.kir | diff %t.kir -
-- RUN: kdc %s --run teach --emit=kir --passes= | FileCheck %s --check-prefix=PLAIN
-- RUN: kdc %s --run teach --emit=llvm-ir | FileCheck %s --check-prefix=LLVM
-- RUN: kdc %s --run teach --emit=asm | FileCheck %s --check-prefix=ASM
-- RUN: kdc %s --run teach --emit=llvm-ir --unoptimized | FileCheck %s --check-prefix=BEFORE
-- RUN: kdc %s --run teach --emit=asm --unoptimized | FileCheck %s --check-prefix=ASM
-- RUN: kdc %s --run teach --emit=obj --unoptimized -o %t.before.o && kdc %s --run teach --emit=obj -o %t.after.o
-- RUN: llvm-nm %t.before.o | grep 'T net_predict' && not cmp -s %t.before.o %t.after.o
-- RUN: kdc run %t.kir --fn evaluate --batch 3 --interpret | FileCheck %s --check-prefix=VALUES
-- RUN: kdc run %t.kir --fn evaluate --batch 3 | FileCheck %s --check-prefix=VALUES
local kd = require "kd"
local data = kd.data.fashion_mnist()
local net = kd.network("net", data.input, function(x) return kd.linear(kd.flatten(x), 10) end)
local function train(epochs)
  return kd.train { network = net, data = data, loss = kd.loss.cross_entropy(),
                    optimizer = kd.sgd { lr = 0.1 }, batch = 8, epochs = epochs, seed = 1 }
end
return kd.runs { { "teach", train(1) }, { "student", train(2) } }

-- SEVERAL: emit.lua: error: several runs: name one with --run: teach, student
-- NAME: emit.lua: error: no run 'studnt'; did you mean 'student'?
-- PASS: error: passes: there is no pass 'autodif'; did you mean 'autodiff'?
-- OUTPUT: error: --output is for --emit; --out names a folder
-- DUMP: // after autodiff
-- DUMP: func @gradients(
-- DUMP: // after optimize
-- DUMP: func @step(
-- FINAL: // after plan-memory
-- FINAL-NOT: // after
-- FINAL: func @step({{.*}} arena =
-- PLAIN: func @objective(
-- PLAIN-NOT: func @gradients(
-- BEFORE: mul i64 {{.*}}, 1{{$}}
-- LLVM-NOT: mul i64 {{.*}}, 1{{$}}
-- LLVM: define {{.*}}@step(
-- ASM: step_epoch:
-- VALUES: %net.fc1.2: f32[B,10], B = 3
-- VALUES-NEXT: 0.7774{{.*}} 0.1818{{.*}} 2.146{{.*}} -1.313{{.*}} 1.634
-- VALUES-NEXT: 2.699{{.*}} -1.567{{.*}} -1.627
