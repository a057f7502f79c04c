-- A student that learns what its teacher's hidden layer says, which is wider than there are classes.
local kd = require "kd"
local data = kd.data.fashion_mnist()
local function network(name)
  return kd.network(name, data.input, function(x)
    local hidden = kd.site(kd.relu(kd.linear(kd.flatten(x), 24)), "hidden")
    return kd.linear(hidden, 10)
  end)
end
local teach = kd.train { network = network("teacher"), data = data, epochs = 1 }
local function loss(_, _, _, at)
  return kd.sum((at.student.hidden - at.teacher.hidden) ^ 2, 2)
end
return kd.runs {
  { "teacher", teach },
  { "hinted", kd.distill { teacher = teach, student = network("student"), data = data, epochs = 1, loss = loss } },
}
