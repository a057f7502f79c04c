/* The data of a run that ships, read where they are at hand: what weights are tried out on, and
 * where the means come from that samples are normalised by. */
#include "frontend/ship_data.h"

#include <stdio.h>

void kd_ship_data_open(KdShipData *s, const KdRun *run, const KdOptions *o) {
    KdDiag quiet;
    kd_diag_init(&quiet, NULL, false);
    *s = (KdShipData){ .loc = run->data->loc };
    s->there = kd_data_open(&s->all, run->data, o->data, &s->data, &quiet);
    if (!s->there) snprintf(s->why, sizeof s->why, "%s", quiet.last);
}

void kd_ship_data_why(const KdShipData *s, KdDiag *d) {
    if (!s->there) kd_note(d, s->loc, "%s", s->why);
}

void kd_ship_data_close(KdShipData *s) {
    kd_data_close(&s->all);
}
