-- Rate schedules, in epochs: step { every, gamma, warmup } multiplies the rate by gamma every so
-- many epochs, cosine { warmup } lets it fall to 0 over the run, constant { warmup } only rises.
-- The generated code counts steps, so a schedule asks how many samples an epoch has.

local core = ...
local check = require "kd.check"
local Schedule = check.class("schedule")
local schedule = {}

local function make(kind, o)
  o.kind, o.where = kind, core.where()
  return check.seal(o, Schedule)
end

local warmup = { "number", 0, min = 0 }

function schedule.constant(options)
  local o = check.options("kd.schedule.constant", options, { warmup = warmup })
  return make("constant", o)
end

function schedule.step(options)
  local o = check.options("kd.schedule.step", options, {
    every = { "number", required = true, min = 1 },
    gamma = { "number", 0.1, min = 0 },
    warmup = warmup,
  })
  return make("step", o)
end

function schedule.cosine(options)
  local o = check.options("kd.schedule.cosine", options, { warmup = warmup })
  return make("cosine", o)
end

-- The program's keys for a run of `epochs` epochs of `per_epoch` steps, or in epochs where that is nil;
-- and of a momentum that changes within `momentum_epochs`, if it does. Where the script has `planned`
-- epochs and fewer are run, the warm-up has its share of them.
function Schedule.inner:program(epochs, planned, per_epoch, momentum_epochs)
  local keys = { { "schedule", self.kind } }
  local warmup = epochs < planned and self.warmup * epochs / planned or self.warmup
  if not per_epoch then keys[2] = { "schedule.unit", "epoch" } end
  local function add(name, in_epochs)
    keys[#keys + 1] = { name, per_epoch and math.floor(in_epochs * per_epoch + 0.5) or in_epochs }
  end
  if momentum_epochs then add("momentum.steps", momentum_epochs) end
  if self.kind == "step" then
    add("schedule.every", self.every)
    keys[#keys + 1] = { "schedule.gamma", self.gamma + 0.0 }
  elseif self.kind == "cosine" then
    if warmup >= epochs then
      core.fail(("kd.schedule.cosine: a warm-up of %s of %d epochs leaves nothing to fall")
        :format(warmup, epochs), self.where)
    end
    add("schedule.steps", epochs)
  end
  if warmup > 0 then add("warmup", warmup) end
  return keys
end

return schedule
