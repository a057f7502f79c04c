# How lit runs the .kir and .lua tests: `kdc` is the compiler of this build, %out a folder of the
# test's own. A test of its own data folder writes there.
import os
import shutil
import subprocess
import sys

import lit.formats

config.name = "kdc"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".kir", ".lua", ".test"]
config.test_source_root = config.kdc_test_dir
config.test_exec_root = os.path.join(config.kdc_build_dir, "tests", "lit")
config.excludes = ["unit", "bench", "numeric", "fuzz", "Inputs"]
config.environment["PATH"] = os.pathsep.join(
    [config.kdc_build_dir, os.path.join(config.kdc_build_dir, "tests"), config.kdc_llvm_tools, config.environment.get("PATH", "")])
config.environment["NO_COLOR"] = "1"
config.environment["XDG_CACHE_HOME"] = os.path.join(config.test_exec_root, "cache")
# Teachers that an earlier build of the same version trained may have other bits.
shutil.rmtree(config.environment["XDG_CACHE_HOME"], ignore_errors=True)
config.substitutions.append(("%kdc", os.path.join(config.kdc_build_dir, "kdc")))
config.substitutions.append(("%build", config.kdc_build_dir))
config.substitutions.append(("%source", os.path.join(config.kdc_test_dir, "..")))
# For programs that link with the libkdrt of this build.
config.substitutions.append(("%instrument", config.kdc_instrument))
config.substitutions.append(("%python", sys.executable))
config.substitutions.append(("%models", os.path.join(config.kdc_test_dir, "..", "models")))
config.substitutions.append(("%shared", os.path.join(config.kdc_test_dir, "..", "..", "shared")))
wasm_ld = [p for p in map(shutil.which, ("wasm-ld", "wasm-ld-22", "wasm-ld-19")) if p]
if wasm_ld:
    config.available_features.add("wasm-ld")
    config.substitutions.append(("%wasm-ld", wasm_ld[0]))
if os.path.isdir("/usr/share/datasets/fashion-mnist"):
    config.available_features.add("fashion-mnist")
if os.path.isdir(os.path.join(config.kdc_test_dir, "..", "..", "shared", "data")):
    config.available_features.add("shared-data")
for program in ("g++", "nm", "gdb", "cmake", "pkg-config", "aarch64-linux-gnu-gcc", "qemu-aarch64", "riscv64-linux-gnu-gcc", "qemu-riscv64",
                "arm-linux-gnueabihf-gcc", "qemu-arm", "qemu-x86_64", "node"):
    if shutil.which(program):
        config.available_features.add(program)
# May a test mount a file system for itself?
if shutil.which("unshare") and subprocess.run(["unshare", "-rm", "true"], stderr=subprocess.DEVNULL).returncode == 0:
    config.available_features.add("mounts")
# Of the machine that runs what is compiled.
with open("/proc/cpuinfo") as cpuinfo:
    words = set(cpuinfo.read().split())
if {"avx2", "fma"} <= words:
    config.available_features.add("avx2")
if not config.kdc_instrument:
    config.available_features.add("as-shipped") # code as users get it, not instrumented
