-- Augmentation: each sample of a batch is changed by random numbers of its own, drawn by its place in
-- the data set and the epoch. It is part of the generated step, behind scaling and normalisation, and
-- teacher and student see the same. Evaluation sees the samples as they are.

local core = ...
local check = require "kd.check"
local ops = require "kd.ops"
local Augment = check.class("augmentation")
local augment = {}

-- Uniform numbers of `dims`, one stream for each kind of change.
local function draw(dims, stream)
  return core.uniform(dims, "augment." .. stream)
end

-- For each sample, is it to be mirrored? As one number of `dims`, 0 or 1.
local function coin(dims)
  return core.broadcast(ops.float(ops.less(draw({ -1 }, "mirror"), 0.5)), dims, { 0 })
end

local function mirror(x)
  return ops.where(ops.less(0.5, coin(x.shape)), core.flip(x, 3), x)
end

-- Moved along the axis by -most … most elements, each as probable; zeros come in. Such a move is a
-- product with a matrix per sample, whose element (k, j) is 1 where the result's k is x's j: that
-- costs next to nothing beside a convolution. With `mirrored`, x is mirrored before.
local function move(x, axis, most, stream, mirrored)
  local n = x.shape[axis + 1]
  local dims = { -1, n, n }
  local by = core.broadcast(ops.floor(draw({ -1 }, stream) * (2 * most + 1)) - most, dims, { 0 })
  local from = ops.float(core.iota(dims, 1)) - ops.minimum(by, most)
  if mirrored then
    local flip = coin(dims)
    from = flip * (n - 1) + (1 - 2 * flip) * from
  end
  return core.mix(x, ops.float(ops.equal(ops.float(core.iota(dims, 2)), from)), axis)
end

-- x (1 + jitter a) + jitter b, a and b uniform in [-1, 1) for each channel of each sample.
local function jitter(x, size)
  local dims = { -1, x.shape[2] }
  local function each(stream) return 2 * size * draw(dims, stream) - size end
  return x * core.broadcast(1 + each("contrast"), x.shape, { 0, 1 })
    + core.broadcast(each("brightness"), x.shape, { 0, 1 })
end

-- augment { mirror, crop, jitter }: mirrored with probability 1/2; padded by `crop` zeros on each side
-- and cropped to its size at random; contrast and brightness changed by up to `jitter`.
function augment.augment(options)
  local o = check.options("kd.augment", options, {
    mirror = { "boolean", false },
    crop = { "integer", 0, min = 0, max = 16 },
    jitter = { "number", 0, min = 0 },
  })
  local where = core.where()
  return check.seal({ apply = function(x)
    core.at(where)
    if x.rank ~= 4 and (o.mirror or o.crop > 0) then
      core.fail(("kd.augment: mirror and crop are for images f32[B,channels,height,width], not %s")
        :format(core.type_text(x)), where)
    end
    if o.crop > 0 then
      x = move(move(x, 2, o.crop, "rows"), 3, o.crop, "columns", o.mirror)
    elseif o.mirror then
      x = mirror(x)
    end
    if o.jitter > 0 then x = jitter(x, o.jitter) end
    return x
  end }, Augment)
end

return augment
