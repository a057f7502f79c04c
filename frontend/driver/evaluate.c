/*
 * Logits over a data set: the generated function is called batch by batch, each writing its rows
 * of the tables. Every row is covered; the last batch may be short.
 */
#include "frontend/driver/session.h"
#include "frontend/driver/signals.h"

bool kd_fill_rows(const KdCompiled *c, const KdFunc *f, KdrtFunction *run, const KdBindings *b,
                  KdrtSplit rows, float *const *out, KdrtProgress *progress, KdDiag *d) {
    KdArena *scratch = kd_arena_create();
    int64_t batch = f->max_batch;
    void **results = KD_NEW_ARRAY(scratch, void *, f->nresults);
    KdBindings here = *b;
    here.index = KD_NEW_ARRAY(scratch, int32_t, batch + KDRT_SLACK);
    void **args = kd_bind_args(&here, f, scratch, d);
    bool stopped = false;
    for (int64_t done = 0; done < rows.count && !stopped; done += batch) {
        int64_t n = rows.count - done < batch ? rows.count - done : batch;
        for (int64_t k = 0; k < n; k++) here.index[k] = (int32_t)(rows.first + done + k);
        for (int k = 0; k < f->nresults; k++)
            results[k] = out[k] + done * kd_type_elements(f->results[k]->type, 1, 0);
        KdrtFrame frame = kd_frame(c, f, args, results, (int32_t)n);
        run(&frame);
        if (!progress) continue;
        kdrt_progress_show(progress, &(KdrtProgressNow){ .done = done + n });
        stopped = kd_signal_received() != 0;
    }
    kd_arena_destroy(scratch);
    return !stopped;
}
