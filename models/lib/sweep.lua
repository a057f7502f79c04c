-- The studies of the noisy-teacher paper: students without noise are the baseline, those that see labels
-- alone stand beside, and one axis varies. study { axis = "sigma", values =, noise = function(v) … end,
-- teacher =, student =, data =, epochs = }; --set seeds=3 says how often each is trained, --set sigma=0.3
-- takes one value in place of all, --set labels=0 leaves out those that see labels alone.
local kd = require "kd"
local flag = require "lib.flag"
local sweep = {}

sweep.tenths = { 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0 }

-- Options of a known data set with the sizes of --set train=, validation=, test=: for files that hold fewer
-- samples than the published ones.
function sweep.sizes(options, validation, test)
  options.train = kd.param("train", 0)
  options.validation, options.test = kd.param("validation", validation), kd.param("test", test)
  return options
end

-- Adam on batches of 64, as the noisy-teacher paper says; its rate and epochs are not given there.
function sweep.train(network, data, epochs, augment)
  return kd.train { network = network, data = data, optimizer = kd.adam { lr = kd.param("lr", 1e-3) },
                    augment = augment, batch = 64, epochs = epochs, patience = 10, min_epochs = 30 }
end

function sweep.distill(o, noise)
  return kd.distill { teacher = o.teacher, student = o.student, data = o.data, noise = noise,
                      loss = kd.loss.logits(), optimizer = kd.adam { lr = kd.param("lr", 1e-3) },
                      augment = o.augment, batch = 64, epochs = o.epochs, patience = 10, min_epochs = 30 }
end

-- The values of an axis, or the one that --set sigma=0.3 names.
local function points(axis, values)
  local one = kd.param(axis)
  return one and { one } or values or sweep.tenths
end

function sweep.study(o)
  return kd.study {
    over = { [o.axis] = points(o.axis, o.values) }, seeds = math.floor(kd.param("seeds", 5)),
    baseline = function() return sweep.distill(o, nil) end,
    also = flag("labels", true) and {
      hard = function() return sweep.train(o.student, o.data, o.epochs, o.augment) end,
    } or nil,
    run = function(p) return sweep.distill(o, o.noise(p[o.axis])) end,
  }
end

return sweep
