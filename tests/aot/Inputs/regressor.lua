-- A student whose hidden layer is led to its teacher's by a layer that belongs to the loss.
local kd = require "kd"
local data = kd.data.fashion_mnist()
local function network(name, width)
  return kd.network(name, data.input, function(x)
    local hidden = kd.site(kd.relu(kd.batch_norm(kd.linear(kd.flatten(x), width))), "hidden")
    return kd.linear(hidden, 10)
  end)
end
local teach = kd.train { network = network("teacher", 24), data = data, epochs = 1 }
local function loss(s, t, y, at)
  local off = kd.linear(at.student.hidden, 24) - at.teacher.hidden
  return kd.sum(off ^ 2, 2) + kd.loss.cross_entropy()(s, t, y)
end
return kd.runs {
  { "teacher", teach },
  { "led", kd.distill { teacher = teach, student = network("student", 12), data = data, epochs = 1, loss = loss } },
}
