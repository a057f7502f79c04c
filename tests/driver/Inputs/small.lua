-- A teacher and students small enough for tests that train them several times.
local kd = require "kd"
local data = kd.data.fashion_mnist()

local teacher = kd.network("teacher", data.input, function(x)
  x = kd.max_pool(kd.relu(kd.conv2d(x, 4, { kernel = 5, stride = 2 })), 2)
  return kd.linear(kd.dropout(kd.relu(kd.linear(kd.flatten(x), 24)), 0.25), 10)
end)

local student = kd.network("student", data.input, function(x)
  return kd.linear(kd.relu(kd.linear(kd.flatten(x), 12)), 10)
end)

local adam = kd.adam { lr = kd.param("lr", 1e-3) }
local teach = kd.train {
  network = teacher, data = data, loss = kd.loss.cross_entropy(),
  optimizer = adam, batch = 32, epochs = 2, seed = 1,
}

local function distill(noise)
  return kd.distill {
    teacher = teach, student = student, data = data, noise = noise, loss = kd.loss.logits(),
    optimizer = adam, batch = 32, epochs = 2, seed = 1,
  }
end

return kd.runs {
  { "teacher", teach },
  { "distilled", distill(nil) },
  { "noisy", distill(kd.noise { kind = "multiplicative", sigma = 0.6, alpha = 0.5 }) },
}
