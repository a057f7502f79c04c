-- Two teachers that two students hear in different ways, and a chain, for teachers.test.
local kd = require "kd"
local data = kd.data.fashion_mnist()

local function mlp(units)
  return function(x)
    return kd.linear(kd.site(kd.relu(kd.batch_norm(kd.linear(kd.flatten(x), units))), "hidden"), 10)
  end
end
local function net(name, units) return kd.network(name, data.input, mlp(units)) end
local function train(name, units)
  return kd.train { network = net(name, units), data = data, epochs = 1, seed = kd.param("seed", 1) }
end
local first, second, student = train("first", 24), train("second", 16), net("student", 8)
local function distill(teacher, options)
  return kd.distill { teacher = teacher, student = options.student or student, data = data, epochs = 1,
                      combine = options.combine, loss = options.loss or kd.loss.logits() }
end
local assistant = distill(first, { student = net("assistant", 12) })
-- Its loss has a layer of its own, which is none of its parameters.
local guided = distill(first, { student = net("guided", 12),
  loss = kd.loss.logits() + kd.loss.hint { student = "hidden", teacher = "hidden" } })
-- Bagged: the first teacher's network and seed, but its own draws of the samples.
local bagged = kd.train { network = net("bagged", 24), data = data, epochs = 2, seed = kd.param("seed", 1),
                          resample = true }
return kd.runs {
  { "both", distill({ first, second }, {}) },
  { "weighted", distill({ first, second }, { combine = kd.ensemble.logits { weights = { 1, 3 } } }) },
  { "alone", distill(first, {}) },
  { "drawn", distill({ first, bagged }, { combine = kd.ensemble.drawn() }) },
  { "chained", distill(assistant, {}) },
  { "hinted", guided },
  { "of_hinted", distill(guided, {}) },
}
