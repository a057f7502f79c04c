# `./dev coverage [CTEST-OPTION…]`, read by dev, whose functions it uses: the whole suite on a build
# that counts, then a table of folders (test code left out) and a page per file. A process that is
# killed, or ends in kd_bug, counts nothing.
coverage() {
    dependencies gcovr
    build build/coverage -DCMAKE_BUILD_TYPE=None -DKD_COVERAGE=ON
    find build/coverage -name '*.gcda' -delete
    ctest --test-dir build/coverage --output-on-failure -j 2 "$@"
    coverage_table
}

coverage_table() {
    pages=build/coverage/html
    mkdir -p $pages
    gcovr --root . --exclude tests/ --exclude build/ --csv $pages/files.csv \
        --html-details $pages/index.html build/coverage
    awk -F, '
        function percent(part, all) { return all ? 100 * part / all : 100 }
        function row(name) {
            printf "%-16s %6d %8.1f %% %8d %8.1f %%\n", name, lines[name],
                percent(hit[name], lines[name]), branches[name], percent(taken[name], branches[name])
        }
        function add(name) {
            if (!(name in lines) && name != "all") order[++n] = name
            lines[name] += $2; hit[name] += $3; branches[name] += $5; taken[name] += $6
        }
        NR > 1 { folder = $1; sub("/[^/]*$", "", folder); add(folder); add("all") }
        END {
            printf "%-16s %6s %10s %8s %10s\n", "folder", "lines", "run", "branches", "taken"
            for (k = 1; k <= n; k++) {
                row(order[k])
                low = low || percent(hit[order[k]], lines[order[k]]) < 90
            }
            row("all")
            exit low
        }' $pages/files.csv || { echo "coverage: a folder is below 90 % of its lines" >&2; exit 1; }
    echo "pages: $pages/index.html"
}
