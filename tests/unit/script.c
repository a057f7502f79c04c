/* Scripts from text: what they lower to, and that a bad one gives one clear error and no crash. */
#include "frontend/script.h"
#include "ir/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char head[] = "local kd = require 'kd'\n"
                           "local d = kd.data.fashion_mnist()\n"
                           "local function net(name, f) return kd.network(name, d.input, f) end\n"
                           "local function mlp(x) return kd.linear(kd.flatten(x), 10) end\n";

/* Loads `text` behind the head; the script or NULL, with the error in d->last. */
static KdScript *load(const char *text, const KdScriptOptions *o, KdDiag *d) {
    char path[] = "/tmp/kdc-script-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *f = fdopen(fd, "w");
    fprintf(f, "%s%s", head, text);
    fclose(f);
    kd_diag_init(d, NULL, false);
    KdScript *s = kd_script_load(path, o, d);
    unlink(path);
    return s;
}

static void expect_error(const char *text, int line, const char *part) {
    KdDiag d;
    KdScript *s = load(text, NULL, &d);
    if (s || !strstr(d.last, part)) fail_msg("%s\n  gave: %s\n  not: %s", text, d.last, part);
    if (line) assert_int_equal(d.last_loc.line, line);
    assert_int_equal(d.errors, 1);
}

static const char two_runs[] =
    "local a, b = net('big', mlp), net('small', mlp)\n"
    "local t = kd.train { network = a, data = d }\n"
    "return kd.runs { { 'easy', kd.distill { teacher = t, student = b, data = d:take(100),\n"
    "  loss = 0.5 * kd.loss.kl { temperature = kd.param('T', 4) } + kd.loss.cross_entropy() } } "
    "}\n";

static void teachers_come_first(void **state) {
    (void)state;
    KdDiag d;
    KdScript *s = load(two_runs, NULL, &d);
    assert_non_null(s);
    assert_int_equal(s->nruns, 2);
    assert_int_equal(s->nlisted, 1);
    assert_string_equal(s->runs[0]->name, "big");
    assert_string_equal(s->runs[0]->role, "teacher");
    assert_string_equal(s->listed[0]->name, "easy");
    assert_ptr_equal(s->listed[0]->teachers[0], s->runs[0]);
    assert_int_equal(s->listed[0]->data->take, 100);
    assert_int_equal(s->runs[0]->data->take, 0);
    for (int k = 0; k < s->nruns; k++) assert_true(kd_verify(s->runs[k]->module, &d));
    assert_int_equal(kd_network_cost(kd_script_network(s, "small")).params, 7850);
    assert_int_equal(kd_network_cost(kd_script_network(s, "small")).multiplications, 7840);
    kd_script_destroy(s);
}

static double hyper(const KdScript *s, const char *name) {
    const KdModule *m = s->listed[0]->module;
    int k = kd_module_hyper(m, name);
    assert_true(k >= 0);
    return m->hypers[k]->value;
}

static void overrides_reach_the_runs(void **state) {
    (void)state;
    KdDiag d;
    const char *sets[] = { "T=2.5" };
    KdScriptOptions o = { 3, 32, 7, 50, 1, sets, NULL };
    KdScript *s = load(two_runs, &o, &d);
    assert_non_null(s);
    assert_true(hyper(s, "temperature") == 2.5);
    assert_true(hyper(s, "weight") == 0.5);
    assert_int_equal(s->runs[0]->data->take, 50);
    assert_int_equal(s->listed[0]->data->take, 50);
    for (int k = 0; k < s->nruns; k++) {
        assert_int_equal(s->runs[k]->epochs, 3);
        assert_int_equal(s->runs[k]->batch, 32);
        assert_int_equal(s->runs[k]->seed, 7);
        assert_int_equal(kd_attr_int(s->runs[k]->module->program, "batch", 0), 32);
    }
    kd_script_destroy(s);
}

/* A number without a default is whole where it can be: it may be a width. */
static void overrides_stay_whole(void **state) {
    (void)state;
    KdDiag d;
    const char *sets[] = { "n=2", "x=0.5", "y=3" };
    KdScriptOptions o = {
        .nsets = 3, .sets = sets, .epochs = -1, .batch = -1, .seed = -1, .limit = -1
    };
    assert_null(
        load("error(('%s %s %s'):format(kd.param 'n', kd.param 'x', kd.param('y', 1.5)))", &o, &d));
    assert_non_null(strstr(d.last, "2 0.5 3.0"));
}

/* --limit takes samples away and never gives back what the script left out. */
static void limits_only_narrow(void **state) {
    (void)state;
    static const char few[] =
        "return kd.train { network = net('a', mlp), data = d:take(200):without { 3 } }\n";
    static const struct {
        int64_t limit, take;
    } cases[] = { { -1, 200 }, { 5000, 200 }, { 200, 200 }, { 50, 50 } };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        KdDiag d;
        KdScriptOptions o = { -1, -1, -1, cases[k].limit, 0, NULL, NULL };
        KdScript *s = load(few, &o, &d);
        assert_non_null(s);
        assert_int_equal(s->runs[0]->data->take, cases[k].take);
        assert_int_equal(s->runs[0]->data->omit, 8);
        kd_script_destroy(s);
    }
    expect_error("d:take(200):take(201)", 5, "take: 201 samples of 200");
}

/* A place in the script is looked for in the last calls only: with all of them walked for each
 * operation, this loss takes longer than the 20 s that a script may. */
static void deep_losses_are_traced(void **state) {
    (void)state;
    KdDiag d;
    KdScript *s = load("local l = kd.loss.cross_entropy()\n"
                       "for k = 1, 2000 do l = l + kd.loss.cross_entropy() end\n"
                       "return kd.train { network = net('a', mlp), data = d, loss = l }\n",
                       NULL, &d);
    assert_non_null(s);
    kd_script_destroy(s);
}

/* What a script may trace is counted run by run: studies have many. */
static void many_runs_are_traced(void **state) {
    (void)state;
    KdDiag d;
    KdScript *s = load("local function deep(x) for k = 1, 10000 do x = -x end return mlp(x) end\n"
                       "local list = {}\n"
                       "for k = 1, 5 do\n"
                       "  local n = net('n' .. k, deep)\n"
                       "  list[k] = { 'r' .. k, kd.train { network = n, data = d } }\n"
                       "end\n"
                       "return kd.runs(list)\n",
                       NULL, &d);
    assert_non_null(s);
    assert_int_equal(s->nruns, 5);
    kd_script_destroy(s);
}

/* Two teachers that share two teachers, 40 times: each run is looked at once, not once a way to it.
 */
static void narrowing_looks_at_each_run_once(void **state) {
    (void)state;
    KdDiag d;
    KdScript *s =
        load("local a, b = kd.train { network = net('a', mlp), data = d },\n"
             "  kd.train { network = net('b', mlp), data = d }\n"
             "for k = 1, 40 do\n"
             "  a, b = kd.distill { teacher = { a, b }, student = net('a' .. k, mlp), data = d },\n"
             "    kd.distill { teacher = { a, b }, student = net('b' .. k, mlp), data = d }\n"
             "end\n"
             "net('other', mlp)\n"
             "return kd.runs { { 'last', a }, { 'beside', b } }\n",
             NULL, &d);
    assert_non_null(s);
    kd_script_narrow(s, kd_script_run(s, "last"));
    assert_int_equal(s->nlisted, 1);
    assert_int_equal(s->nnetworks, 81);
    assert_null(kd_script_network(s, "other"));
    assert_null(kd_script_network(s, "b40"));
    kd_script_destroy(s);
}

static void unknown_sets_are_errors(void **state) {
    (void)state;
    KdDiag d;
    const char *sets[] = { "TT=2.5" }, *bad[] = { "T=warm" };
    KdScriptOptions o = { -1, -1, -1, -1, 1, sets, NULL };
    assert_null(load(two_runs, &o, &d));
    assert_non_null(strstr(d.last, "did you mean 'T'?"));
    o.sets = bad;
    assert_null(load(two_runs, &o, &d));
    assert_non_null(strstr(d.last, "NAME=NUMBER"));
    bad[0] = "T=inf";
    assert_null(load(two_runs, &o, &d));
    assert_non_null(strstr(d.last, "a finite number is expected"));
}

static void errors_are_clear(void **state) {
    (void)state;
    expect_error("return kd.train { network = net('a', mlp), data = d, epocs = 3 }", 5,
                 "kd.train: unknown key 'epocs'; did you mean 'epochs'?");
    expect_error("return 3", 0, "the script must return a run");
    expect_error("return kd.trian { }", 5, "did you mean kd.train?");
    expect_error("local x = nil\nreturn x.y", 6, "attempt to index a nil value");
    expect_error("return )", 5, "unexpected symbol");
    expect_error("net('a', function(x)\n return kd.linear(x, 10) end)", 6, "kd.flatten");
    expect_error("net('a', function(x) return kd.flatten(x) + kd.linear(kd.flatten(x), 10)\n end)",
                 5, "f32[B,784] and f32[B,10]");
    expect_error("net('a', function(x) return kd.conv2d(x, 4, { kernel = 30 }) end)", 5,
                 "larger than its input");
    expect_error("net('a', function(x) return x end)", 0, "must return logits");
    expect_error("net('a', function(x) end)", 0, "must return a tensor");
    expect_error("net('a', mlp) net('a', mlp)", 3, "the name of another network");
    expect_error("local keep net('a', function(x) keep = x return mlp(x) end)\n"
                 "net('b', function(x) return mlp(keep) end)",
                 0, "belongs to another call");
    expect_error("local n = 5 net('a', function(x) n = n + 1\n"
                 "return kd.linear(kd.linear(kd.flatten(x), n), 10) end)",
                 0, "when network 'a' was traced before");
    expect_error("local n = 0 net('a', function(x) n = n + 1\n"
                 "return kd.linear(kd.flatten(x), 10, { name = 'l' .. n }) end)",
                 0, "the same layers");
    expect_error("local a = net('a', mlp) local t = kd.train { network = a, data = d }\n"
                 "return kd.distill { teacher = t, student = a, data = d }",
                 6, "cannot teach itself");
    expect_error("return kd.train { network = net('a', mlp), data = d,\n"
                 "loss = function(s, t, y) return s end }",
                 0, "the loss must be a scalar");
    expect_error("return kd.train { network = net('a', mlp), data = d, loss = kd.loss.logits() }",
                 5, "there is no teacher");
}

static void absurd_sizes_and_names(void **state) {
    (void)state;
    expect_error("net('a', function(x) return kd.linear(kd.flatten(x), 1 << 62) end)", 5,
                 "product at most");
    expect_error("kd.network('a', { 1 << 40, 1 << 40 }, mlp)", 5, "product at most");
    expect_error("kd.network('a', { 3, -1 }, mlp)", 5, "an extent of the input is");
    expect_error("net('a', function(x) return kd.conv2d(x, 1, { kernel = 1 << 40 }) end)", 5,
                 "'kernel' must be an integer");
    expect_error("net('a', function(x) return kd.conv2d(x, 1, { kernel = 1, padding = 65536, "
                 "stride = 65536 }):slice(2, 2, 1) end)",
                 5, "do not lie in 1");
    expect_error("net('a', function(x) return x:reshape { 7, 7 } end)", 5, "reshape");
    expect_error("net('a', function(x) return x:reshape { -1, -1 } end)", 5, "only one extent");
    expect_error("net('a', function(x) return x:reshape { -1, 5 } end)", 5, "reshape");
    expect_error("net('a', function(x) return kd.concat({}, 2) end)", 5, "from 1 to 64");
    expect_error("net('a', function(x) return kd.concat({ x, kd.flatten(x) }, 2) end)", 5,
                 "concat");
    expect_error("net('a', function(x) return kd.concat({ x }, 9) end)", 5, "no such axis");
    expect_error("net('a', function(x) return x:sum(9) end)", 5, "axis 9");
    expect_error("net('a', function(x) return x:sum { 2, 2 } end)", 5, "twice");
    expect_error("net('a', function(x) return x:transpose { 2, 2, 2, 2 } end)", 5, "once");
    expect_error("net('a', function(x) return x.nothing end)", 5, "has no field");
    expect_error("net('a', function(x) return kd.linear(kd.flatten(x), 9, { name = 'a b' }) end)",
                 5, "cannot name a layer");
    expect_error("net('a\\n', mlp)", 3, "is not a name");
    expect_error("net('step', mlp)", 3, "is reserved");
    expect_error("kd.sum(3)", 5, "");
    expect_error("kd.relu(3)", 5, "inside the functions given to kd.network");
    expect_error("return kd.runs { { 'a', 3 } }", 5, "entry 1 must be");
    expect_error("kd.noise { sigma = -1 }", 5, "at least 0");
    expect_error("kd.data.npy { train_x = 'a', train_y = 'b', input = { 2 }, classes = 1 }", 5,
                 "at least 2");
    expect_error("kd.data.fashion_mnist { dir = '/etc' }", 5, "--data");
    expect_error("kd.data.fashion_mnist { dir = '/usr/share/datasets/../../../etc' }", 5, "--data");
    expect_error("kd.data.csv { file = 'x.csv', dir = 'a/../../b', input = { 2 }, classes = 2 }", 5,
                 "outside of the script's folder");
    expect_error("kd.data.csv { file = '../x.csv', input = { 2 }, classes = 2 }", 5,
                 "'file' is the name of a file in 'dir'");
    expect_error(
        "kd.data.npy { train_x = '/etc/passwd', train_y = 'b', input = { 2 }, classes = 2 }", 5,
        "'train_x' is the name of a file in 'dir'");
    expect_error("d:take(0)", 5, "a whole number of samples, at least 1");
    expect_error("d.take(5)", 5, "with a colon");
}

static void the_sandbox_holds(void **state) {
    (void)state;
    expect_error("while true do end", 5, "takes too long");
    expect_error("while true do pcall(function() while true do end end) end", 5, "takes too long");
    expect_error("local s = 'x' while true do s = s .. s end", 0, "memory");
    expect_error("local s = string.rep('x', 1 << 30)", 0, "memory");
    expect_error("local t = {} for k = 1, 1e9 do t[k] = { k } end", 0, "memory");
    expect_error("return io.open('x')", 5, "io");
    expect_error("os.exit(3)", 5, "os");
    expect_error("load('return 1')()", 5, "load");
    expect_error("require 'kd.../x'", 5, "is not a module name");
    expect_error("require '../../etc/passwd'", 5, "is not a module name");
    expect_error("require 'nothing_here'", 5, "no module");
    expect_error("setmetatable({}, { __gc = function() end })", 5, "__gc");
    expect_error("local function f() return 1 + f() end f()", 0, "stack overflow");
    expect_error("local t = setmetatable({}, { __len = function() return 1e15 end })\n"
                 "table.insert(t, 1, 1)",
                 0, "metatable");
    expect_error("local t = {} for _, k in ipairs { 1, 2, 4, 5, 8, 9 } do t[k] = 1 end\n"
                 "for k = 4, 62 do t[1 << k] = 1 end table.insert(t, 1, 1)",
                 6, "not for a table with holes");
    expect_error("error({})", 5, "table");
    expect_error("local s = string.rep('', 1 << 62) error('so ' .. #s)", 5, "so 0");
    expect_error("local s = (''):rep(1 << 62, '') error('so ' .. #s)", 5, "so 0");
    expect_error("string.rep('x', 1 << 62)", 0, "too large");
    expect_error("string.pack(string.rep('x', 1 << 17))", 5, "at most 65536 bytes");
    expect_error("local s = string.rep('%%', 1 << 17):format()", 5, "at most 65536 bytes");
    expect_error("table.concat({ 'x' }, 'y', 1, 1 << 62)", 0, "at index 2");
    expect_error("string.format('%99999d', 1)", 0, "invalid conversion");
    expect_error("return ('x'):find('(x*)*y')", 5, "find");
    expect_error("table.sort({ 3, 1, 2, 5, 4 }, function() return true end)", 0, "order function");
    expect_error("local t = {} for k = 1, 3e6 do t[k] = k * 7 % 1e6 end\n"
                 "while true do table.sort(t) end",
                 0, "takes too long");
    expect_error("table.unpack({}, 1, 1e8)", 0, "too many");
    expect_error("local t = setmetatable({}, {}) getmetatable(t).__index = t return t.x", 5,
                 "loop");
    expect_error("local m = {} m.__index = function(t, k) return t[k] end\n"
                 "return setmetatable({}, m).x",
                 0, "overflow");
    expect_error("local t = setmetatable({}, { __tostring = function(s) return tostring(s) end })\n"
                 "error(tostring(t))",
                 0, "overflow");
    expect_error("coroutine.wrap(function() end)()", 5, "coroutine");
    expect_error("local t = {} t.t = t return t", 0, "the script must return a run");
    expect_error("local o = { network = 1, data = d } o.loss = o return kd.train(o)", 5, "network");
    expect_error("getmetatable('').__index = function() return error end ('x'):y()", 0, "x");
    expect_error("xpcall(error, function(m) return error(m) end) error('got on')", 5, "got on");
    expect_error("kd.network('a\", i32 0), !dbg', { 2 }, mlp)", 5, "is not a name");
    expect_error("net('a', function(x) return kd.linear(kd.flatten(x), 9,\n"
                 "{ name = 'l } ret void ;' }) end)",
                 0, "cannot name a layer");
    expect_error(
        "return kd.runs { { '../../up', kd.train { network = net('a', mlp), data = d } } }", 5,
        "is not a name");
    expect_error("for k = 1, 10 do pcall(require, ('x'):rep(1e6)) end require(('x'):rep(256))", 5,
                 "is not a module name");
    expect_error("net('a', function(x) for k = 1, 1e7 do x = x + 1 end return x end)", 5,
                 "operations traced");
}

/* Errors of ours that a script catches are said, but not for ever. */
/* Lua's parser stops at some depth, by an error without a line. */
static void nesting_has_an_end(void **state) {
    (void)state;
    static const char *const open[] = { "(", "{", "not ", "function() return ", "1 .. " };
    for (size_t k = 0; k < sizeof open / sizeof *open; k++) {
        char text[8192];
        size_t at = (size_t)snprintf(text, sizeof text, "return ");
        for (int n = 0; n < 300; n++)
            at += (size_t)snprintf(text + at, sizeof text - at, "%s", open[k]);
        expect_error(text, 0, "nested more than some 200 deep");
    }
}

static void caught_errors_end_a_script(void **state) {
    (void)state;
    KdDiag d;
    assert_null(load("while true do pcall(kd.relu, 3) end", NULL, &d));
    assert_non_null(strstr(d.last, "tensors exist only inside"));
    assert_int_equal(d.errors, 20);
}

/* A link beside the script to a file elsewhere is not loaded, one to a neighbour is. */
static void links_stay_inside(void **state) {
    (void)state;
    char folder[] = "/tmp/kdc-links-XXXXXX", path[64], text[64];
    assert_non_null(mkdtemp(folder));
    static const char *const names[] = { "inner.lua", "near.lua", "far.lua", "main.lua" };
    snprintf(path, sizeof path, "%s/inner.lua", folder);
    FILE *f = fopen(path, "w");
    fputs("error 'inner was run'\n", f);
    fclose(f);
    snprintf(path, sizeof path, "%s/near.lua", folder);
    assert_int_equal(symlink("inner.lua", path), 0);
    snprintf(path, sizeof path, "%s/far.lua", folder);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    snprintf(path, sizeof path, "%s/main.lua", folder);
    for (int k = 1; k < 3; k++) {
        KdDiag d;
        f = fopen(path, "w");
        snprintf(text, sizeof text, "require '%.*s'\n", (int)strlen(names[k]) - 4, names[k]);
        fputs(text, f);
        fclose(f);
        kd_diag_init(&d, NULL, false);
        assert_null(kd_script_load(path, NULL, &d));
        assert_non_null(strstr(d.last, k == 1 ? "inner was run" : "a link out of"));
    }
    for (int k = 0; k < 4; k++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[k]);
        unlink(path);
    }
    rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(teachers_come_first),
        cmocka_unit_test(overrides_reach_the_runs),
        cmocka_unit_test(overrides_stay_whole),
        cmocka_unit_test(limits_only_narrow),
        cmocka_unit_test(deep_losses_are_traced),
        cmocka_unit_test(caught_errors_end_a_script),
        cmocka_unit_test(nesting_has_an_end),
        cmocka_unit_test(narrowing_looks_at_each_run_once),
        cmocka_unit_test(many_runs_are_traced),
        cmocka_unit_test(unknown_sets_are_errors),
        cmocka_unit_test(errors_are_clear),
        cmocka_unit_test(absurd_sizes_and_names),
        cmocka_unit_test(the_sandbox_holds),
        cmocka_unit_test(links_stay_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
