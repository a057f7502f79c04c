-- A residual network with batch normalisation, and one that learns from it.
local kd = require "kd"
local data = kd.data.fashion_mnist()

local function network(name, channels)
  return kd.network(name, data.input, function(x)
    local function conv(y, stride)
      return kd.batch_norm(kd.conv2d(y, channels, { kernel = 3, stride = stride, padding = 1,
                                                    bias = false }))
    end
    x = kd.relu(conv(x, 4))
    x = kd.residual(x, function(y) return conv(kd.relu(conv(y, 1)), 1) end)
    return kd.linear(kd.dropout(kd.flatten(kd.relu(x)), 0.25), 10)
  end)
end

local teacher = network("teacher", 8)
local train = kd.train { network = teacher, data = data, batch = 64, epochs = 4 }
local known = kd.param("known", 0) == 1
  and kd.load { network = teacher, weights = "teacher.safetensors", data = data } or train
return kd.runs {
  { "teacher", known },
  { "student", kd.distill { teacher = known, student = network("student", 4), data = data, epochs = 2,
                            teacher_dropout = kd.param("dropout", 0) == 1 } },
}
