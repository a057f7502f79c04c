# `./dev check [PART…]`, read by dev, whose functions it uses: what finds faults without a new test.
# A part that finds one ends the script.
check_usage() {
    cat <<'END'
usage: ./dev check [PART…]     all of them without one; about half an hour on two cores
  clang      a build by clang, whose warnings are errors as gcc's are
  tidy       clang-tidy with the checks of .clang-tidy and tests/.clang-tidy
  analyzer   gcc's -fanalyzer over the compiler and the runtime
  tsan       ThreadSanitizer on the pool, on generated loops and on training by several threads
  valgrind   memcheck on scripts, passes, compiling, readers of files and a short training
END
}

check_clang() {
    build build/clang "-DCMAKE_C_COMPILER=clang-$clang"
}

check_tidy() {
    check_clang # its compile commands are clang-tidy's
    git ls-files 'ir/*.c' 'passes/*.c' 'runtime/*.c' 'backend/*.c' 'frontend/*.c' 'tests/*.c' |
        grep -Ev '/(examples|Inputs|peers)/|^tests/fuzz/input_' |
        xargs -P 2 -n 1 "clang-tidy-$clang" -p build/clang --quiet 2>build/clang/tidy.log
}

# Leaks are left to LeakSanitizer in ./dev asan: gcc 12 loses sight of memory that a caller's struct
# holds.
check_analyzer() {
    target=kdc
    build build/analyzer -DCMAKE_BUILD_TYPE=None \
        "-DCMAKE_C_FLAGS=-O1 -fanalyzer -Wno-analyzer-malloc-leak"
    target=
}

check_tsan() {
    build build/tsan -DKD_TSAN=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo \
        "-DCMAKE_C_COMPILER=clang-$clang"
    export TSAN_OPTIONS="halt_on_error=1 allocator_may_return_null=1 suppressions=$PWD/tests/tools/tsan.supp"
    LIT_FILTER='driver/(same-bits|convolutions|precision|gemm|resume|shared|study)' ctest --test-dir build/tsan \
        --output-on-failure -j 2 -R '^(unit-(pool|jit.*|tune|random_graphs)|numeric-training|lit)$'
}

check_valgrind() {
    build build
    tests/tools/valgrind.sh
}

check() {
    [ $# -gt 0 ] || set -- clang tidy analyzer tsan valgrind
    for part in "$@"; do
        case $part in
        clang | tidy | analyzer | tsan | valgrind) ;;
        help | --help | -h) check_usage; exit 0 ;;
        *) check_usage >&2; exit 2 ;;
        esac
    done
    dependencies # first, so that the LLVM is settled
    clang=$(clang_version)
    dependencies "clang-$clang" "clang-tidy-$clang" "libclang-rt-$clang-dev" valgrind libc6-dbg
    for part in "$@"; do
        start=$(date +%s)
        "check_$part"
        echo "check $part: clean after $(($(date +%s) - start)) s"
    done
}
