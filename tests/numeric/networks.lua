-- The training runs of reference.py, and one that is not trained.
local kd = require "kd"
local data = kd.data.fashion_mnist():take(64)

local mlp = kd.network("mlp", data.input, function(x)
  x = kd.relu(kd.linear(kd.flatten(x), 64))
  return kd.linear(kd.relu(kd.linear(x, 32)), 10)
end)

local lenet = kd.network("lenet", data.input, function(x)
  x = kd.max_pool(kd.relu(kd.conv2d(x, 6, { kernel = 5 })), 2)
  x = kd.max_pool(kd.relu(kd.conv2d(x, 12, { kernel = 5, padding = 2 })), 2)
  return kd.linear(kd.relu(kd.linear(kd.flatten(x), 32)), 10)
end)

local wide = kd.network("wide", data.input, function(x)
  return kd.linear(kd.relu(kd.linear(kd.flatten(x), 40)), 10)
end)

local small = kd.network("small", data.input, function(x)
  return kd.linear(kd.tanh(kd.linear(kd.flatten(x), 24)), 10)
end)

local normed = kd.network("normed", data.input, function(x)
  x = kd.relu(kd.batch_norm(kd.conv2d(x, 6, { kernel = 5, bias = false })))
  return kd.linear(kd.flatten(kd.max_pool(x, 4)), 10)
end)

-- Batch norms with no product in front of them: folded.c alone looks at this one.
local before = kd.network("before", data.input, function(x)
  x = kd.batch_norm(kd.relu(kd.conv2d(kd.batch_norm(x), 4, { kernel = 3 })))
  return kd.linear(kd.flatten(kd.max_pool(x, 2)), 10)
end)

local residual = kd.network("residual", data.input, function(x)
  x = kd.relu(kd.batch_norm(kd.conv2d(x, 8, { kernel = 3, padding = 1, bias = false })))
  x = kd.residual(kd.max_pool(x, 2), function(y)
    y = kd.conv2d(y, 12, { kernel = 3, stride = 2, padding = 1, bias = false })
    return kd.batch_norm(y, { eps = 1e-3, momentum = 0.3 })
  end, { shortcut = "pool" })
  x = kd.conv2d(kd.relu(x), 12, { kernel = 3, padding = 1, groups = 12 })
  x = kd.relu(kd.batch_norm(x, { affine = false }))
  x = kd.flatten(kd.concat { x, kd.conv2d(x, 4, { kernel = 1 }) })
  return kd.linear(kd.relu(kd.batch_norm(kd.linear(x, 16))), 10)
end)

local function train(network, optimizer, schedule)
  return kd.train { network = network, data = data, loss = kd.loss.cross_entropy(),
                    optimizer = optimizer, schedule = schedule, batch = 32, epochs = 5, seed = 1 }
end

local teacher = train(wide, kd.adam { lr = 1e-3 })

local function distill(loss, noise)
  return kd.distill { teacher = teacher, student = small, data = data, loss = loss, noise = noise,
                      optimizer = kd.adamw { lr = 2e-3, weight_decay = 0.01 },
                      schedule = kd.schedule.cosine(), batch = 32, epochs = 5, seed = 1 }
end

return kd.runs {
  { "mlp", train(mlp, kd.adam { lr = 1e-3 }) },
  { "lenet", train(lenet, kd.sgd { lr = 0.02, momentum = 0.9, weight_decay = 5e-4 }) },
  { "noisy", distill(kd.loss.logits(),
                     kd.noise { kind = "multiplicative", sigma = 0.6, alpha = 0.5 }) },
  { "kl", distill(kd.loss.kl { temperature = 4 },
                  kd.noise { kind = "additive", sigma = 0.5, draw = "batch" }) },
  { "groups", train(mlp, kd.adamw {
    lr = 2e-3, weight_decay = 0.1, clip_norm = 0.5,
    groups = { { params = "*.bias", lr = 2e-2, weight_decay = 0 } },
  }, kd.schedule.cosine()) },
  { "clipped", train(mlp, kd.adadelta {
    rho = 0.9, clip_value = 0.01, max_norm = 1.4, accumulate = 2,
  }) },
  { "before", train(before, kd.sgd {}) },
  { "residual", kd.distill {
    teacher = train(normed, kd.sgd {}), student = residual, data = data, loss = kd.loss.logits(),
    optimizer = kd.sgd { lr = 0.05, momentum = 0.9 }, batch = 32, epochs = 5, seed = 1,
  } },
}
