-- Sadowski, Collado, Whiteson, Baldi 2015: HIGGS, 28 features, two classes; a deep tanh net teaches
-- one hidden layer (1000 tanh, or 500 ReLU with --set relu=1) by its probabilities at T = 1, by SGD on batches
-- of 100 whose momentum rises from 0.9 to 0.99. The paper has AUC .842 for the shallow net, .850 with soft
-- targets, .885 for the deep one, on 10 million rows (--set full=1, HIGGS.csv.gz). Without it, a sample of
-- 7,000 rows: seconds, errors near 30 %. Rate and the momentum's epochs are not given in the paper's table.
--     kdc models/higgs.lua --jit --data DIR [--epochs 20] [--limit 1000]
local kd = require "kd"
local data
if require "lib.flag"("full", false) then
  data = kd.data.csv { file = "HIGGS.csv.gz", input = { 28 }, classes = 2, normalize = "standard",
    validation = kd.param("validation", 500000), test = kd.param("test", 500000) }
else
  data = kd.data.csv { file = "higgs_train_7000.csv.gz", test_file = "higgs_test_500.csv.gz",
    input = { 28 }, classes = 2, normalize = "standard", validation = 1000 }
end

local teacher = kd.network("teacher", data.input, function(x)
  for _ = 1, 5 do x = kd.tanh(kd.linear(x, 300, { init = kd.init.glorot_normal() })) end
  return kd.linear(x, 2)
end)
local relu = require "lib.flag"("relu", false)
local student = kd.network("student", data.input, function(x)
  if relu then return kd.linear(kd.relu(kd.linear(x, 500)), 2) end
  return kd.linear(kd.tanh(kd.linear(x, 1000, { init = kd.init.glorot_normal() })), 2)
end)

local epochs = kd.param("epochs", 20)
local sgd = kd.sgd { lr = kd.param("lr", 0.01), weight_decay = 1e-5,
                     momentum = { from = 0.9, to = 0.99, epochs = epochs } }
local function train(network)
  return kd.train { network = network, data = data, optimizer = sgd, batch = 100, epochs = epochs,
                    seed = 1 }
end
local deep = train(teacher)

return kd.runs {
  { "deep", deep }, { "shallow", train(student) },
  { "soft", kd.distill { teacher = deep, student = student, data = data, loss = kd.loss.kl {},
                         optimizer = sgd, batch = 100, epochs = epochs, seed = 1 } },
}
