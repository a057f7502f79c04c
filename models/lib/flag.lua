-- flag(name, default): what --set NAME=1 or NAME=0 says, or the default.
local kd = require "kd"

return function(name, default)
  local value = kd.param(name, default and 1 or 0)
  if value ~= 0 and value ~= 1 then
    error(("--set %s=%s: 0 or 1 is expected"):format(name, value), 0)
  end
  return value == 1
end
