-- Every kind of layer, loss and optimiser in two runs: a test trains them for two epochs.
local kd = require "kd"
local data = kd.data.fashion_mnist():take(640)

local teacher = kd.network("teacher", data.input, function(x)
  x = kd.tanh(kd.conv2d(x, 8, { kernel = 5, stride = 2, padding = 1 }))
  x = kd.avg_pool(x, 2, { ceil = true })
  x = kd.sigmoid(kd.conv2d(x, 8, { kernel = 3, dilation = 2, groups = 4, bias = false }))
  x = kd.dropout(kd.flatten(kd.avg_pool(x, 2, { stride = 1 })), 0.2)
  return kd.linear(x, 10, { init = kd.init.glorot_uniform() })
end)

local student = kd.network("student", data.input, function(x)
  x = kd.flatten(kd.max_pool(x, 3, { ceil = true }))
  return kd.linear(kd.relu(kd.linear(x, 16, { init = kd.init.he_normal() })), 10)
end)

local teach = kd.train {
  network = teacher, data = data, loss = kd.loss.cross_entropy(), batch = 64, epochs = 2, seed = 3,
  optimizer = kd.sgd { lr = 0.05, momentum = 0.9, nesterov = true, weight_decay = 1e-4 },
  schedule = kd.schedule.step { every = 1, gamma = 0.5 },
}

-- The soft targets' part by hand, to show that any function of tensors is a loss.
local function softened(s, t, y)
  local soft = kd.loss.kl { temperature = 4 }(s, t, y)
  return kd.print(kd.mean(0.1 * kd.loss.cross_entropy()(s, t, y) + 0.9 * soft))
end

return kd.runs {
  { "teacher", teach },
  { "student", kd.distill {
    teacher = teach, student = student, data = data, loss = softened, batch = 64, epochs = 2,
    optimizer = kd.adamw { lr = 2e-3, weight_decay = 0.05 },
    schedule = kd.schedule.cosine { warmup = 0.5 }, seed = 4,
  } },
}
