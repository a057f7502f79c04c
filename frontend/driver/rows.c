/* Rows of study.csv, written and read back: see rows.h. A cell that is not known is empty. */
#include "frontend/driver/rows.h"
#include "frontend/driver/text_hash.h"
#include "frontend/outfile.h"

#include "ir/text.h"
#include "runtime/host/atomic_file.h"
#include "runtime/host/hash.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FILE_LIMIT (1 << 24)

/* --- settings ------------------------------------------------------------------------------ */

static uint64_t add_number(uint64_t hash, double x) {
    return kdrt_hash(&x, sizeof x, hash);
}

/* The module as the script made it, but for what changes no result (`check`) and the run's seed. */
static const char *text_of(KdModule *m, KdArena *a) {
    KdAttr *program = m->program, **at = &m->program;
    m->program = kd_attr_clone(a, program);
    while (*at) {
        bool counts = strcmp((*at)->name, "seed") != 0 && strcmp((*at)->name, "check") != 0;
        if (counts)
            at = &(*at)->next;
        else
            *at = (*at)->next;
    }
    const char *text = kd_module_text(m, a);
    m->program = program;
    return text;
}

static uint64_t add_data(uint64_t hash, const KdrtDataset *data) {
    const int64_t splits[] = { data->train.first,      data->train.count, data->validation.first,
                               data->validation.count, data->test.first,  data->test.count };
    return kdrt_hash(splits, sizeof splits, kdrt_hash(&data->hash, sizeof data->hash, hash));
}

uint64_t kd_run_settings(const KdRun *run, const KdrtDataset *data, const uint64_t *teachers) {
    KdArena *a = kd_arena_create();
    uint64_t hash = kd_text_hash(text_of(run->module, a), 0);
    kd_arena_destroy(a);
    hash = add_number(add_number(hash, (double)run->patience), (double)run->min_epochs);
    if (run->weights) hash ^= kd_output_hash_file(run->weights);
    for (int k = 0; k < run->nteachers; k++) {
        hash = add_number(hash, (double)run->teachers[k]->seed);
        hash = kdrt_hash(&teachers[k], sizeof *teachers, hash);
    }
    return add_data(hash, data);
}

/* --- writing ------------------------------------------------------------------------------- */

static void print_header(const KdStudy *study, FILE *to) {
    fputs("run,seed", to);
    for (int k = 0; k < study->naxes; k++) fprintf(to, ",%s", study->axes[k]);
    fputs(",val_error,test_error,agreement,epochs,seconds,final_loss,test_auc,settings\n", to);
}

/* ",0.0123", or where it is not known nothing. */
static void print_cell(FILE *to, double x) {
    if (isnan(x))
        fputc(',', to);
    else
        fprintf(to, ",%.9g", x);
}

void kd_rows_print(const KdOutput *out, const KdStudy *study, FILE *to) {
    print_header(study, to);
    for (int k = 0; k < study->nruns; k++) {
        const KdStudyRun *r = &study->runs[k];
        const KdRow *row = kd_output_finished(out, r->run->name);
        if (!row) continue;
        fprintf(to, "%s,%d", row->name, r->seed);
        for (int n = 0; n < study->naxes; n++) print_cell(to, r->values[n]);
        print_cell(to, row->val_error);
        print_cell(to, row->test_error);
        print_cell(to, row->agreement);
        fprintf(to, ",%lld,%.3f", (long long)row->epochs, row->seconds);
        print_cell(to, row->final_loss);
        print_cell(to, row->test_auc);
        fprintf(to, ",%016" PRIx64 "\n", row->settings);
    }
}

/* --- reading ------------------------------------------------------------------------------- */

typedef struct Reader {
    KdOutput *out;
    const KdStudy *study;
    const uint64_t *settings;
    KdLoc at; /* of the line */
    KdDiag *d;
} Reader;

/* Cuts off the text up to the next `end`; NULL when there is none left. */
static char *next_part(char **text, char end) {
    char *part = *text, *to = part ? strchr(part, end) : NULL;
    if (to) *to = 0;
    *text = to ? to + 1 : NULL;
    return part;
}

static char *print_to_text(const KdStudy *study) {
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    if (!memory) kd_out_of_memory(0);
    print_header(study, memory);
    if (fclose(memory) != 0) kd_out_of_memory(size);
    text[size - 1] = 0; /* without the end of the line */
    return text;
}

static bool check_header(Reader *r, const char *found) {
    char *expected = print_to_text(r->study);
    bool same = found && strcmp(found, expected) == 0;
    if (!same)
        kd_error(r->d, r->at, "the rows of another study: expected the header '%s', found '%s'",
                 expected, found ? found : "");
    free(expected);
    return same;
}

/* What a cell may hold: numbers from `least` to `most`, whole ones if that is asked; nothing, which
 * is NaN, unless it is needed. */
typedef struct Cell {
    const char *name;
    double least, most;
    bool whole, needed;
} Cell;

static bool read_cell(Reader *r, char **line, const Cell *c, double *x) {
    const char *cell = next_part(line, ',');
    char *end = NULL;
    *x = NAN;
    if (cell && !*cell && !c->needed) return true;
    if (cell) *x = strtod(cell, &end);
    bool number = cell && *cell && !*end && isfinite(*x);
    if (number && *x >= c->least && *x <= c->most && (!c->whole || *x == floor(*x))) return true;
    if (number)
        return kd_error(r->d, r->at, "expected %s %s as %s, found '%s'",
                        c->whole ? "a whole number" : "a number",
                        c->most == 1 ? "from 0 to 1" : "of at least 0", c->name, cell);
    return kd_error(r->d, r->at, "expected a number as %s, found '%s'", c->name, cell ? cell : "");
}

/* "0.3", or "nothing" for NaN. */
static const char *number_text(char text[32], double x) {
    snprintf(text, 32, isnan(x) ? "nothing" : "%.9g", x);
    return text;
}

/* The seed and the point, which the run's name says as well: those of the study. */
static bool read_place(Reader *r, char **line, const KdStudyRun *run) {
    for (int n = -1; n < r->study->naxes; n++) {
        const Cell cell = { n < 0 ? "seed" : r->study->axes[n], -INFINITY, INFINITY, false, n < 0 };
        double expected = n < 0 ? run->seed : run->values[n], found;
        char ours[32], theirs[32];
        if (!read_cell(r, line, &cell, &found)) return false;
        number_text(ours, expected);
        if (strcmp(ours, number_text(theirs, found)) == 0) continue;
        return kd_error(r->d, r->at, "%s has %s as %s, found %s", run->run->name, ours, cell.name,
                        theirs);
    }
    return true;
}

/* What the run came to. */
static bool read_results(Reader *r, char **line, KdRow *row) {
    double epochs = 0;
    const struct {
        Cell cell;
        double *to;
    } cells[] = {
        { { "val_error", 0, 1, false, false }, &row->val_error },
        { { "test_error", 0, 1, false, false }, &row->test_error },
        { { "agreement", 0, 1, false, false }, &row->agreement },
        { { "epochs", 0, INT32_MAX, true, true }, &epochs },
        { { "seconds", 0, INFINITY, false, true }, &row->seconds },
        { { "final_loss", -INFINITY, INFINITY, false, false }, &row->final_loss },
        { { "test_auc", 0, 1, false, false }, &row->test_auc },
    };
    for (size_t k = 0; k < sizeof cells / sizeof *cells; k++)
        if (!read_cell(r, line, &cells[k].cell, cells[k].to)) return false;
    row->epochs = (int64_t)epochs;
    return true;
}

static int find_run(const KdStudy *study, const char *name) {
    for (int k = 0; k < study->nruns; k++)
        if (strcmp(study->runs[k].run->name, name) == 0) return k;
    return -1;
}

static bool check_settings(Reader *r, const char *name, const char *cell, uint64_t expected) {
    char *end = NULL;
    uint64_t found = cell ? strtoull(cell, &end, 16) : 0;
    if (!cell || end == cell || *end)
        return kd_error(r->d, r->at, "expected 16 hexadecimal digits as settings, found '%s'",
                        cell ? cell : "");
    return found == expected ||
           kd_error(r->d, r->at,
                    "%s came by other settings or data than it has now: %s, expected %016" PRIx64,
                    name, cell, expected);
}

static bool read_row(Reader *r, char *line, int before) {
    const char *cell = next_part(&line, ','), *name = cell ? cell : "";
    int k = find_run(r->study, name);
    if (k < 0) return kd_error(r->d, r->at, "the study has no run '%s'", name);
    KdRow row = { .name = r->study->runs[k].run->name, .role = r->study->runs[k].run->role };
    if (!read_place(r, &line, &r->study->runs[k]) || !read_results(r, &line, &row) ||
        !check_settings(r, name, line, r->settings[k]))
        return false;
    const KdRow *known = kd_output_finished(r->out, name);
    if (known && known - r->out->rows >= before)
        return kd_error(r->d, r->at, "a second row of '%s'", name);
    row.images_per_second = NAN;
    row.settings = r->settings[k];
    row.given = true;
    if (!known) r->out->rows[r->out->nrows++] = row;
    return true;
}

/* The next line without its end, "\n" or, of editors elsewhere, "\r\n"; NULL: there is none. */
static char *next_line(char **text) {
    char *line = next_part(text, '\n');
    size_t length = line ? strlen(line) : 0;
    if (length && line[length - 1] == '\r') line[length - 1] = 0;
    return line;
}

bool kd_rows_read(KdOutput *out, const KdStudy *study, const char *path, const uint64_t *settings,
                  KdDiag *d) {
    size_t bytes;
    KdrtError error;
    Reader r = { .out = out, .study = study, .settings = settings, .at = { path, 1 }, .d = d };
    char *text = kdrt_file_read(path, FILE_LIMIT, &bytes, &error);
    if (!text) return kd_file_error(d, path, &error);
    char *rest = text;
    int before = out->nrows;
    if (strncmp(rest, "\xEF\xBB\xBF", 3) == 0) rest += 3; /* UTF-8's mark */
    bool good = check_header(&r, next_line(&rest));
    while (good && rest && *rest) {
        r.at.line++;
        char *line = next_line(&rest);
        good = !*line || read_row(&r, line, before);
    }
    kdrt_free(text);
    return good;
}
