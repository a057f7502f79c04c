local kd = require "kd"
return function(width)
  return function(x)
    return kd.linear(kd.relu(kd.linear(kd.flatten(x), width)), 10)
  end
end
