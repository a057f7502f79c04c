-- Plain students: layers of one kind, widths given. conv { {channels, kernel}, … } puts a pooling
-- behind each convolution, then `hidden` and the classes.
local kd = require "kd"
local students = {}

-- mlp { 800, 800 }, with dropout of `rate` behind each hidden layer where it is given
function students.mlp(widths, rate)
  return function(x)
    x = kd.flatten(x)
    for _, width in ipairs(widths) do
      x = kd.relu(kd.linear(x, width))
      if rate then x = kd.dropout(x, rate) end
    end
    return kd.linear(x, 10)
  end
end

-- conv(kernels, { pool = 2, hidden = 1024, dropout })
function students.conv(kernels, options)
  return function(x)
    for _, k in ipairs(kernels) do
      x = kd.relu(kd.conv2d(x, k[1], { kernel = k[2], padding = k[2] // 2 }))
      x = kd.max_pool(x, options.pool or 2, { stride = 2, ceil = true })
    end
    x = kd.relu(kd.linear(kd.flatten(x), options.hidden or 1024))
    if options.dropout then x = kd.dropout(x, options.dropout) end
    return kd.linear(x, 10)
  end
end

students.cifar10 = { { 64, 5 }, { 128, 5 } }
students.svhn = { { 32, 5 }, { 64, 5 } }
students.compressed = {
  { { 64, 5 }, { 112, 5 }, { 128, 3 } },
  { { 32, 5 }, { 32, 5 }, { 64, 3 } },
  { { 16, 5 }, { 32, 5 }, { 64, 3 } },
}

return students
