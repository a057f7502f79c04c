-- Losses over student logits s, teacher logits t (both f32[B,classes]), labels y (i32[B]) and places
-- `at` (places.lua). Each gives one number per sample; a run's loss is their mean over the batch. They
-- add up and take weights: 0.3 * kd.loss.cross_entropy() + kd.loss.kl { temperature = 2 }. Any Lua
-- function (s, t, y, at) that returns a scalar or one number per sample is a loss as well. Those that
-- read hidden layers or differentiate are in match.lua.

local core = ...
local check = require "kd.check"
local ops = require "kd.ops"
local Loss = check.class("loss")
local loss = {}

local function make(name, f, needs_teacher)
  return check.seal({ name = name, f = f, needs_teacher = needs_teacher, where = core.where() }, Loss)
end

function Loss.sealed.__call(self, s, t, y, at)
  self = check.record(self, "loss")
  if self.needs_teacher and t == nil then
    core.fail(("kd.loss.%s: there is no teacher; kd.distill has one"):format(self.name), self.where)
  end
  core.at(self.where)
  return self.f(s, t, y, at)
end

function Loss.sealed.__add(a, b)
  local p, q = check.record(a, "loss"), check.record(b, "loss")
  if not (p and q) then
    core.fail(("a loss can be added to a loss, not %s to %s"):format(check.describe(a),
      check.describe(b)))
  end
  return make(p.name .. " + " .. q.name, function(s, t, y, at) return a(s, t, y, at) + b(s, t, y, at) end,
    p.needs_teacher or q.needs_teacher)
end

for _, way in ipairs { "sub", "div", "unm" } do
  Loss.sealed["__" .. way] = function()
    core.fail("a loss can be added to a loss and weighted by a number: kd.loss.logits() + 0.3 * kd.loss.cross_entropy()")
  end
end

-- The weight is a hyperparameter of the generated code.
function Loss.sealed.__mul(a, b)
  local weight, inner = a, b
  if type(a) ~= "number" then weight, inner = b, a end
  local record = check.record(inner, "loss")
  if type(weight) ~= "number" or not record then
    core.fail("a loss is weighted by a number: 0.3 * kd.loss.cross_entropy()")
  end
  if weight - weight ~= 0 then core.fail(("a loss is weighted by a finite number, not %s"):format(weight)) end
  return make(record.name,
    function(s, t, y, at) return core.hyper("weight", weight) * inner(s, t, y, at) end,
    record.needs_teacher)
end

-- -Σ_c y'_c log softmax(s)_c, where y' is 1 at the label, or with `smoothing` ε, 1 - ε there and ε
-- shared by all classes (a uniform teacher).
function loss.cross_entropy(options)
  local o = check.options("kd.loss.cross_entropy", options, {
    smoothing = { "number", 0, min = 0, max = 1 },
  })
  return make("cross_entropy", function(s, _, y)
    local log_q = ops.log_softmax(s)
    local hard = -ops.sum(ops.one_hot(y, s.shape[2]) * log_q, 2)
    if o.smoothing == 0 then return hard end
    return (1 - o.smoothing) * hard - o.smoothing * ops.mean(log_q, 2)
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

-- The root of a sum of squares, of slope 0 where all of them are 0: of equal logits, of a single row.
local function root(x) return ops.sqrt(ops.maximum(x, 1e-30)) end

-- (z - mean) / (deviation + 1e-7) over the classes (Sun et al. 2024, logit standardisation).
local function standardise(z)
  local below = z - ops.mean(z, 2, { keep = true })
  local variance = ops.sum(below * below, 2, { keep = true }) * (1 / (z.shape[2] - 1))
  return below / (root(variance) + 1e-7)
end

-- A temperature as a tensor, or nil where it is 1.
local function tempered(what, o)
  if not (o.temperature > 0) then
    core.fail(("%s: 'temperature' must be above 0, not %s"):format(what, o.temperature))
  end
  return function() return o.temperature ~= 1 and core.hyper("temperature", o.temperature) end
end

-- KL(softmax(t / T) ‖ softmax(s / T)), times T² unless t2 = false, so that its gradient keeps its
-- size whatever T is (Hinton et al. 2015); standardise = true takes logits at mean 0, deviation 1.
function loss.kl(options)
  local o = check.options("kd.loss.kl", options, {
    temperature = { "number", 1 },
    t2 = { "boolean", true },
    standardise = { "boolean", false },
  })
  local temperature = tempered("kd.loss.kl", o)
  return make("kl", function(s, t)
    if o.standardise then s, t = standardise(s), standardise(t) end
    local T = temperature()
    if T then s, t = s / T, t / T end
    local log_p = ops.log_softmax(t)
    local kl = ops.sum(ops.exp(log_p) * (log_p - ops.log_softmax(s)), 2)
    return T and o.t2 and kl * (T * T) or kl
  end, true)
end

-- log Σ e^x over the classes, kept as an axis.
local function log_sum_exp(x)
  local top = ops.detach(ops.max(x, 2, { keep = true }))
  return top + ops.log(ops.sum(ops.exp(x - top), 2, { keep = true }))
end

-- What the decoupled loss compares: log-probabilities of the label, of all other classes together,
-- and among the others alone (there the label's is far below zero: its probability is 0).
local function decouple(z, label)
  local others = z - 1e4 * label
  local all, rest = log_sum_exp(z), log_sum_exp(others)
  return ops.sum(label * z, 2, { keep = true }) - all, rest - all, others - rest
end

-- Decoupled distillation (Zhao et al. 2022): alpha · KL of (label, not label) + beta · KL among the
-- other classes, times T².
function loss.dkd(options)
  local o = check.options("kd.loss.dkd", options, {
    alpha = { "number", 1 }, beta = { "number", 8 }, temperature = { "number", 4 },
  })
  local temperature = tempered("kd.loss.dkd", o)
  return make("dkd", function(s, t, y)
    local T = temperature()
    if T then s, t = s / T, t / T end
    local label = ops.one_hot(y, s.shape[2])
    local s_label, s_rest, s_others = decouple(s, label)
    local t_label, t_rest, t_others = decouple(t, label)
    local target = ops.exp(t_label) * (t_label - s_label) + ops.exp(t_rest) * (t_rest - s_rest)
    local others = ops.exp(t_others) * (t_others - s_others)
    local sum = core.hyper("alpha_dkd", o.alpha) * ops.sum(target, 2)
      + core.hyper("beta_dkd", o.beta) * ops.sum(others, 2)
    return T and sum * (T * T) or sum
  end, true)
end

-- 1 - Pearson's correlation of a and b along the axis.
local function pearson_distance(a, b, axis)
  a = a - ops.mean(a, axis, { keep = true })
  b = b - ops.mean(b, axis, { keep = true })
  local norms = root(ops.sum(a * a, axis)) * root(ops.sum(b * b, axis))
  return 1 - ops.sum(a * b, axis) / (norms + 1e-8)
end

-- DIST (Huang et al. 2022) on probabilities at T: beta · distance of each sample's classes + gamma ·
-- distance of each class's samples, times T².
function loss.dist(options)
  local o = check.options("kd.loss.dist", options, {
    beta = { "number", 1 }, gamma = { "number", 1 }, temperature = { "number", 1 },
  })
  local temperature = tempered("kd.loss.dist", o)
  return make("dist", function(s, t)
    local T = temperature()
    if T then s, t = s / T, t / T end
    local p, q = ops.softmax(s), ops.softmax(t)
    local sum = core.hyper("beta_dist", o.beta) * pearson_distance(p, q, 2)
      + core.hyper("gamma_dist", o.gamma) * ops.mean(pearson_distance(p, q, 1))
    return T and sum * (T * T) or sum
  end, true)
end

for name, define in pairs(require("kd.match")(make)) do loss[name] = define end

return loss
