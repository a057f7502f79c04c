"""IR text that is small and asks for much, or is long: large_ir.py KIND prints it."""
import sys


def function(name, body):
    return f"func @{name}(%v0: f32) -> (f32) {{\n{body}}}\n"


def chain(count, op):
    """v1 = op v0, v2 = op v1, …"""
    lines = [f"  %v{k + 1} = {op.replace('X', f'%v{k}')} : f32\n" for k in range(count)]
    return "".join(lines) + f"  return %v{count}\n"


def call(name):
    return f'call X {{ callee = "{name}" }}'


LEAF = function("f0", chain(1, "neg X"))
KINDS = {
    # each function calls the one before it twice: inlined, they double
    "doubling": lambda: LEAF + "".join(function(f"f{k}", chain(2, call(f"f{k - 1}"))) for k in range(1, 60)),
    "calls": lambda: LEAF + function("f", chain(10100, call("f0"))),
    "scalars": lambda: function("f", chain(100000, "exp X")),
    "line": lambda: function("f", chain(20000, "exp X")).replace("\n", " "),
    "constants": lambda: function(
        "f", "".join(f"  %c{k} = constant {{ value = {k}.5 }} : f32\n  %v{k + 1} = div %v{k}, %c{k} : f32\n"
                     for k in range(10000)) + "  return %v10000\n"),
}
print("kdc-ir 1")
print(KINDS[sys.argv[1]](), end="")
