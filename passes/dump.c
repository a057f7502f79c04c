/*
 * Dumps around passes. Texts are compared to find out what changed, so nobody has to be told.
 */
#include "passes/dump.h"

#include "ir/text.h"
#include "passes/diff.h"
#include "passes/pipeline.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static const KdLoc nowhere = { NULL, 0 };
static const char before[] = "before:", after[] = "after:";

static bool starts(const char *text, size_t length, const char *with) {
    return length >= strlen(with) && strncmp(text, with, strlen(with)) == 0;
}

/* The word at *at, which moves behind its comma; NULL at the end. */
static const char *next_word(const char **at, size_t *length) {
    if (!*at || !**at) return NULL;
    const char *word = *at;
    *length = strcspn(word, ",");
    *at += *length + (word[*length] == ',');
    return word;
}

static bool is_word(const char *text, size_t length, const char *word) {
    return length == strlen(word) && strncmp(text, word, length) == 0;
}

/* Does the specification have that word, or that prefix with that pass? */
static bool has(const char *spec, const char *prefix, const char *name) {
    size_t length;
    for (const char *word; (word = next_word(&spec, &length));) {
        if (prefix && !starts(word, length, prefix)) continue;
        size_t skip = prefix ? strlen(prefix) : 0;
        if (is_word(word + skip, length - skip, name)) return true;
    }
    return false;
}

bool kd_dump_check(const char *spec, KdArena *a, KdDiag *d) {
    size_t length;
    for (const char *word; (word = next_word(&spec, &length));) {
        if (is_word(word, length, "all") || is_word(word, length, "final") ||
            is_word(word, length, "changed"))
            continue;
        size_t skip = starts(word, length, before)  ? strlen(before)
                      : starts(word, length, after) ? strlen(after)
                                                    : 0;
        char *name = kd_arena_copy(a, word + skip, length - skip + 1);
        name[length - skip] = 0;
        if (!kd_pass_find(name)) return kd_say_unknown_pass(d, name);
    }
    return true;
}

/* dir/NN-name.kir */
static bool write_file(const KdDump *dump, const char *name, KdDiag *d) {
    const char *path = kd_arena_format(dump->arena, "%s/%02d-%s.kir", dump->dir, dump->step, name);
    FILE *f = fopen(path, "w");
    bool ok = f && fputs(dump->text, f) >= 0;
    if (f && fclose(f) != 0) ok = false;
    return ok || kd_error(d, nowhere, "%s: cannot write: %s", path, strerror(errno));
}

bool kd_dump_start(KdDump *dump, const KdModule *m, KdArena *a, KdDiag *d) {
    dump->arena = a;
    if (dump->dir || has(dump->spec, NULL, "changed")) dump->text = kd_module_text(m, a);
    if (!dump->dir) return true;
    if (mkdir(dump->dir, 0777) != 0 && errno != EEXIST)
        return kd_error(d, nowhere, "%s: cannot make the folder: %s", dump->dir, strerror(errno));
    return write_file(dump, "input", d);
}

static void print(const KdDump *dump, const KdModule *m, const char *when, const char *pass) {
    fprintf(dump->out, "// %s %s\n", when, pass);
    kd_print_module(m, dump->out);
}

void kd_dump_before(const KdDump *dump, const KdModule *m, const char *pass) {
    if (has(dump->spec, before, pass)) print(dump, m, "before", pass);
}

/* What the pass changed, to the stream and to the folder. */
static bool show_change(KdDump *dump, const KdModule *m, const char *pass, KdDiag *d) {
    char *now = kd_module_text(m, dump->arena);
    bool changed = strcmp(now, dump->text) != 0;
    if (changed && has(dump->spec, NULL, "changed")) {
        fprintf(dump->out, "--- before %s\n+++ after %s\n", pass, pass);
        kd_diff_print(dump->text, now, dump->out);
    }
    dump->text = now;
    return !changed || !dump->dir || write_file(dump, pass, d);
}

bool kd_dump_after(KdDump *dump, const KdModule *m, const char *pass, bool last, KdDiag *d) {
    const char *spec = dump->spec;
    dump->step++;
    if (dump->text && !show_change(dump, m, pass, d)) return false;
    if (has(spec, NULL, pass) || has(spec, after, pass) || has(spec, NULL, "all") ||
        (last && has(spec, NULL, "final")))
        print(dump, m, "after", pass);
    return true;
}
