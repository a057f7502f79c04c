-- Losses over student logits s, teacher logits t (both f32[B,classes]) and labels y (i32[B]). Each
-- gives one number per sample; a run's loss is their mean over the batch. They add up and take
-- weights: 0.3 * kd.loss.cross_entropy() + kd.loss.kl { temperature = 2 }. Any Lua function
-- (s, t, y) that returns a scalar or one number per sample is a loss as well.

local core = ...
local check = require "kd.check"
local ops = require "kd.ops"
local Loss = check.class("loss")
local loss = {}

local function make(name, f, needs_teacher)
  return setmetatable({ name = name, f = f, needs_teacher = needs_teacher, where = core.where() },
    Loss)
end

function Loss.__call(self, s, t, y)
  if self.needs_teacher and t == nil then
    core.fail(("kd.loss.%s: there is no teacher; kd.distill has one"):format(self.name), self.where)
  end
  core.at(self.where)
  return self.f(s, t, y)
end

function Loss.__add(a, b)
  if not (check.is(a, "loss") and check.is(b, "loss")) then
    core.fail(("a loss can be added to a loss, not %s to %s"):format(check.describe(a),
      check.describe(b)))
  end
  return make(a.name .. " + " .. b.name, function(s, t, y) return a(s, t, y) + b(s, t, y) end,
    a.needs_teacher or b.needs_teacher)
end

-- The weight is a hyperparameter of the generated code.
function Loss.__mul(a, b)
  local weight, inner = a, b
  if type(a) ~= "number" then weight, inner = b, a end
  if type(weight) ~= "number" or not check.is(inner, "loss") then
    core.fail("a loss is weighted by a number: 0.3 * kd.loss.cross_entropy()")
  end
  return make(inner.name,
    function(s, t, y) return core.hyper("weight", weight) * inner(s, t, y) end,
    inner.needs_teacher)
end

-- -log softmax(s)[y]
function loss.cross_entropy()
  return make("cross_entropy", function(s, _, y)
    return -ops.sum(ops.one_hot(y, s.shape[2]) * ops.log_softmax(s), 2)
  end, false)
end

-- ½ Σ (s - t)²: with the mean over the batch, 1/(2B) Σ ‖g(x) - z‖² (Ba & Caruana; Sau &
-- Balasubramanian 2016).
function loss.logits()
  return make("logits", function(s, t)
    local d = s - t
    return 0.5 * ops.sum(d * d, 2)
  end, true)
end

-- KL(softmax(t / T) ‖ softmax(s / T)), times T² unless t2 = false, so that its gradient keeps its
-- size whatever T is (Hinton et al. 2015).
function loss.kl(options)
  local o = check.options("kd.loss.kl", options, {
    temperature = { "number", 1 },
    t2 = { "boolean", true },
  })
  if not (o.temperature > 0) then
    core.fail(("kd.loss.kl: 'temperature' must be above 0, not %s"):format(o.temperature))
  end
  return make("kl", function(s, t)
    local T = o.temperature ~= 1 and core.hyper("temperature", o.temperature)
    if T then s, t = s / T, t / T end
    local log_p = ops.log_softmax(t)
    local kl = ops.sum(ops.exp(log_p) * (log_p - ops.log_softmax(s)), 2)
    return T and o.t2 and kl * (T * T) or kl
  end, true)
end

return loss
