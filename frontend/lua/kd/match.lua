-- Losses that make hidden layers or derivatives of the student like the teacher's. Layers are named in
-- the networks by kd.site(x, "name"); a loss's own layers are trained beside the student and left out
-- of its weights.

local core = ...
local check = require "kd.check"
local layers = require "kd.layers"
local ops = require "kd.ops"

-- All axes but the batch.
local function inner(x)
  local axes = {}
  for k = 2, x.rank do axes[#axes + 1] = k end
  return axes
end

local function squares(x) return ops.sum(x * x, inner(x)) end

local function same_shape(what, a, b)
  local same = a.rank == b.rank
  for k, extent in ipairs(a.shape) do same = same and b.shape[k] == extent end
  if not same then
    core.fail(("%s: %s of the student and %s of the teacher differ"):format(what, core.type_text(a),
      core.type_text(b)))
  end
end

-- From the student's layer to the shape of the teacher's: a product, or a 1 x 1 convolution.
local function regressor(h, like)
  if h.rank == 4 and like.rank == 4 then return layers.conv2d(h, like.shape[2], { kernel = 1 }) end
  return layers.linear(ops.flatten(h), like.shape[2])
end

-- Σ_c A_c² over the channels of [B,C,…] (of [B,C]: A²), each sample's map scaled to length 1.
local function attention(a)
  local map = a * a
  if a.rank > 2 then map = ops.sum(map, 2) end
  local length = ops.sqrt(ops.sum(map * map, inner(map)) + 1e-12)
  return map / core.broadcast(length, map.shape, { 0 })
end

return function(make)
  local match = {}

  -- ½ ‖h_t - r(h_s)‖² per sample (Romero et al. 2015, FitNets): `regressor`, a function of the student's
  -- layer and the teacher's, is r; false: they are compared as they are.
  function match.hint(options)
    local what = "kd.loss.hint"
    local o = check.options(what, options, {
      student = { "string", required = true }, teacher = { "string", required = true },
      regressor = { "any", regressor },
    })
    return make("hint", function(_, _, _, at)
      local h, like = at.student[o.student], ops.detach(at.teacher[o.teacher])
      if o.regressor then h = o.regressor(h, like) end
      same_shape(what, h, like)
      return 0.5 * squares(like - h)
    end, true)
  end

  -- ½ Σ ‖Q_s / ‖Q_s‖ - Q_t / ‖Q_t‖‖² over pairs of layers, Q = Σ_c A_c² (Zagoruyko & Komodakis 2017).
  function match.attention(options)
    local what = "kd.loss.attention"
    local o = check.options(what, options, {
      student = { "any", required = true }, teacher = { "any", required = true },
    })
    local ours = type(o.student) == "table" and o.student or { o.student }
    local theirs = type(o.teacher) == "table" and o.teacher or { o.teacher }
    check.length(what .. ": 'student'", ours)
    check.length(what .. ": 'teacher'", theirs)
    if #ours ~= #theirs or #ours == 0 then
      core.fail(("%s: %d layers of the student and %d of the teacher"):format(what, #ours, #theirs))
    end
    return make("attention", function(_, _, _, at)
      local sum
      for k, name in ipairs(ours) do
        local a, b = attention(at.student[name]), attention(ops.detach(at.teacher[theirs[k]]))
        same_shape(what, a, b)
        local term = 0.5 * squares(a - b)
        sum = sum and sum + term or term
      end
      return sum
    end, true)
  end

  -- ½ ‖∂CE(s, y)/∂x - ∂CE(t, y)/∂x‖² by the input x (Zagoruyko & Komodakis 2017, gradient-based).
  function match.gradient_attention()
    return make("gradient_attention", function(s, t, y, at)
      local label = ops.one_hot(y, s.shape[2])
      local function slope(z) return ops.grad(-ops.sum(label * ops.log_softmax(z), 2), at.input) end
      return 0.5 * squares(slope(s) - slope(t))
    end, true)
  end

  -- 1/(2K) Σ_k ‖∂ log softmax(s)_k/∂x - ∂ log softmax(t)_k/∂x‖² over the K classes (Papamakarios 2015).
  function match.derivatives()
    return make("derivatives", function(s, t, _, at)
      local f, g, sum = ops.log_softmax(s), ops.log_softmax(t), nil
      local classes = s.shape[2]
      for k = 1, classes do
        local function slope(z) return ops.grad(ops.sum(ops.slice(z, 2, k, 1), 2), at.input) end
        local term = squares(slope(f) - slope(g))
        sum = sum and sum + term or term
      end
      return (0.5 / classes) * sum
    end, true)
  end

  return match
end
