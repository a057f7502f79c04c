/* See teacher_tables.h. A set of tables is known by a hash: of the text of the function that fills
 * it, the weights it reads and the data. */
#include "frontend/driver/teacher_tables.h"

#include "ir/text.h"
#include "runtime/host/hash.h"

#include <stdlib.h>
#include <string.h>

typedef struct KdTeacherTable {
    uint64_t key;
    int keep; /* the last run that may read it */
    int n;    /* results of @teacher_logits */
    float **rows;
} KdTeacherTable;

/* The k-th argument of @step that is such a table; the pass made them in the order of results. */
static const KdValue *table_argument(const KdFunc *step, int k) {
    for (int n = 0; n < step->nargs; n++) {
        const KdValue *v = step->args[n];
        bool data = v->kind && strcmp(v->kind, KD_ARG_DATA) == 0;
        if (data && strstr(v->name, ".logits") && k-- == 0) return v;
    }
    return NULL;
}

static uint64_t key_of(const KdTraining *t, uint64_t weights) {
    KdArena *a = kd_arena_create();
    const char *text = kd_func_text(t->c->teacher, a);
    uint64_t key = kdrt_hash(text, strlen(text), weights ^ t->data->hash);
    kd_arena_destroy(a);
    return key;
}

static void free_table(KdTeacherTable *table) {
    for (int k = 0; table->rows && k < table->n; k++) kdrt_free(table->rows[k]);
    free(table->rows);
}

static KdOutcome fill(KdTeacherTable *table, KdTraining *t, KdrtProgress *progress, KdDiag *d) {
    const KdCompiled *c = t->c;
    KdrtSplit all = { 0, t->data->x.dim[0] };
    table->n = c->teacher->nresults;
    table->rows = calloc((size_t)table->n, sizeof *table->rows);
    bool good = table->rows != NULL;
    for (int k = 0; good && k < table->n; k++) {
        int64_t width = kd_type_elements(c->teacher->results[k]->type, 1, 0);
        table->rows[k] = kdrt_alloc((size_t)(all.count * width) * sizeof(float));
        good = table->rows[k] != NULL;
    }
    if (!good) {
        kd_error(d, c->run->loc, "no memory for what the teacher says");
        return KD_FAILED;
    }
    kdrt_progress_size(progress, 0, all.count, c->teacher->max_batch, 0);
    return kd_fill_rows(c, c->teacher, c->run_teacher, &t->bindings, all, table->rows, progress, d)
               ? KD_FINISHED
               : KD_INTERRUPTED;
}

static KdTeacherTable *find(const KdTeacherTables *all, uint64_t key) {
    for (int k = 0; k < all->n; k++)
        if (all->item[k].key == key) return &all->item[k];
    return NULL;
}

static KdTeacherTable *add(KdTeacherTables *all, uint64_t key) {
    if (all->n == all->room) {
        all->room = all->room ? 2 * all->room : 4;
        KdTeacherTable *item = realloc(all->item, (size_t)all->room * sizeof *item);
        if (!item) return NULL;
        all->item = item;
    }
    all->item[all->n] = (KdTeacherTable){ .key = key };
    return &all->item[all->n++];
}

KdOutcome kd_teacher_tables_bind(KdTeacherTables *all, KdTraining *t, uint64_t weights, int keep,
                                 KdrtProgress *progress, KdDiag *d) {
    if (!t->c->teacher) return KD_FINISHED;
    uint64_t key = key_of(t, weights);
    KdTeacherTable *table = find(all, key);
    if (!table) table = add(all, key);
    if (!table) {
        kd_error(d, t->c->run->loc, "no memory");
        return KD_FAILED;
    }
    KdOutcome outcome = table->rows ? KD_FINISHED : fill(table, t, progress, d);
    if (outcome != KD_FINISHED) return outcome;
    if (keep > table->keep) table->keep = keep;
    for (int k = 0; k < table->n; k++) {
        const KdValue *argument = table_argument(t->c->step, k);
        if (!argument) kd_bug(d, "@teacher_logits has no reader");
        kd_bind(&t->bindings, argument->name, table->rows[k]);
    }
    return KD_FINISHED;
}

void kd_teacher_tables_release(KdTeacherTables *all, int done) {
    int kept = 0;
    for (int k = 0; k < all->n; k++) {
        if (all->item[k].keep > done)
            all->item[kept++] = all->item[k];
        else
            free_table(&all->item[k]);
    }
    all->n = kept;
    if (kept) return;
    free(all->item);
    *all = (KdTeacherTables){ 0 };
}

float *kd_teacher_slab(const KdTraining *t, const KdRun *teacher, float *weights) {
    const KdModule *from = teacher->module, *to = t->c->m;
    int64_t elements = kd_slab_elements(to, teacher->network);
    if (elements == kd_slab_elements(from, teacher->network)) return weights;
    size_t bytes = (size_t)elements * sizeof(float) + KDRT_ALIGN + KDRT_SLACK;
    float *slab = kd_arena_alloc(t->arena, bytes);
    slab = (float *)(((uintptr_t)slab + KDRT_ALIGN - 1) / KDRT_ALIGN * KDRT_ALIGN);
    for (int k = 0; k < to->nparams; k++) {
        const KdParam *p = to->params[k];
        if (strcmp(p->network, teacher->network) != 0) continue;
        const KdParam *q = kd_module_param(from, p->network, p->name);
        memcpy(slab + kd_slab_offset(to, p), weights + kd_slab_offset(from, q),
               (size_t)kd_type_bytes(p->type, 0, 0));
    }
    return slab;
}
