-- The runs of a table: a teacher, its students without noise, and one row for each value of what
-- is varied. sweep { teacher =, student =, data =, values =, noise = function(v) … end, epochs = }.
local kd = require "kd"
local sweep = {}

sweep.tenths = { 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0 }

-- Adam on batches of 64, as the noisy-teacher paper says; its rate and epochs are not given there.
function sweep.train(network, data, epochs)
  return kd.train { network = network, data = data, optimizer = kd.adam { lr = kd.param("lr", 1e-3) },
                    batch = 64, epochs = epochs, patience = 10, seed = 1 }
end

function sweep.distill(o, noise)
  return kd.distill { teacher = o.teacher, student = o.student, data = o.data, noise = noise,
                      loss = kd.loss.logits(), optimizer = kd.adam { lr = kd.param("lr", 1e-3) },
                      batch = 64, epochs = o.epochs, patience = 10, seed = 1 }
end

function sweep.runs(o)
  local list = {
    { "teacher", o.teacher }, { "hard", sweep.train(o.student, o.data, o.epochs) },
    { "clean", sweep.distill(o, nil) },
  }
  for _, v in ipairs(o.values or sweep.tenths) do
    list[#list + 1] = { ("noisy_%03d"):format(math.floor(v * 100 + 0.5)), sweep.distill(o, o.noise(v)) }
  end
  return kd.runs(list)
end

return sweep
