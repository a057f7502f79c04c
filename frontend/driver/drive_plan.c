/*
 * Which runs of a script take place: those that it lists and no row at hand stands for, and the
 * teachers they learn from.
 */
#include "frontend/driver/drive.h"
#include "frontend/driver/rows.h"
#include "runtime/host/hash.h"

int kd_run_number(const KdScript *s, const KdRun *run) {
    int k = 0;
    while (s->runs[k] != run) k++;
    return k;
}

void kd_plan_runs(KdDrive *v) {
    const KdScript *s = v->s;
    const KdRun *one = v->o->run ? kd_script_run(s, v->o->run) : NULL;
    for (int k = 0; k < s->nlisted; k++)
        if (!one) v->planned[kd_run_number(s, s->listed[k])].wanted = true;
    if (one) v->planned[kd_run_number(s, one)].wanted = true;
    for (int k = s->nruns - 1; k >= 0; k--) { /* teachers stand before those who learn from them */
        KdPlanned *p = &v->planned[k];
        if (p->last_user < k) p->last_user = k;
        if (!p->wanted) continue;
        v->nwanted++;
        for (int t = 0; t < s->runs[k]->nteachers; t++) {
            KdPlanned *teacher = &v->planned[kd_run_number(s, s->runs[k]->teachers[t])];
            teacher->wanted = true;
            if (teacher->last_user < k) teacher->last_user = k;
        }
    }
}

bool kd_plan_data(KdDrive *v, KdOutputHashes *hashes) {
    v->settings = KD_NEW_ARRAY(v->arena, uint64_t, v->s->nruns);
    *hashes = (KdOutputHashes){ .settings = v->settings };
    for (int k = 0; k < v->s->nruns; k++) {
        const KdRun *run = v->s->runs[k];
        KdrtDataset data;
        if (!v->planned[k].wanted) continue;
        if (!kd_data_open(&v->data, run->data, v->o->data_dir, &data, v->d)) return false;
        hashes->data = kdrt_hash(&data.hash, sizeof data.hash, hashes->data);
        kd_data_schedule(run, &data);
        uint64_t *teachers = KD_NEW_ARRAY(v->arena, uint64_t, run->nteachers + 1);
        for (int t = 0; t < run->nteachers; t++)
            teachers[t] = v->settings[kd_run_number(v->s, run->teachers[t])];
        v->settings[k] = kd_run_settings(run, &data, teachers);
    }
    return true;
}

/* The rows of --rows join those that are there. */
static bool read_rows(KdDrive *v) {
    const KdStudy *study = v->study;
    if (!study)
        return kd_error(v->d, (KdLoc){ v->s->path, 0 },
                        "--rows is for a script that returns kd.study");
    uint64_t *settings = KD_NEW_ARRAY(v->arena, uint64_t, study->nruns);
    for (int k = 0; k < study->nruns; k++)
        settings[k] = v->settings[kd_run_number(v->s, study->runs[k].run)];
    return kd_rows_read(&v->out, study, v->o->rows, settings, v->d);
}

bool kd_plan_rows(KdDrive *v) {
    const KdStudy *study = v->study;
    int left = 0;
    if (v->o->rows && !read_rows(v)) return false;
    for (int k = 0; study && k < study->nruns; k++) {
        int n = kd_run_number(v->s, study->runs[k].run);
        const KdRow *row = kd_output_finished(&v->out, v->s->runs[n]->name);
        bool done = row && row->given && v->planned[n].last_user == n;
        v->planned[n].wanted = !done;
        v->nwanted -= done;
        left += !done;
    }
    for (int k = 0; study && k < v->s->nruns && !left; k++) v->planned[k].wanted = false;
    for (int k = 0; v->o->rows && k < v->out.nrows; k++)
        kd_set_cost(v, kd_script_run(v->s, v->out.rows[k].name), &v->out.rows[k]);
    return true;
}
