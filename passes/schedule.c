/*
 * Schedules of the learning rate and of the momentum as scalar ops on the step s, counted from 0.
 * Program keys:
 *
 *   schedule = "constant"   lr
 *   schedule = "step"       lr · gamma^floor(s / every)          schedule.every, schedule.gamma
 *   schedule = "cosine"     lr · ½ (1 + cos(π · done))           schedule.steps
 *                           done = min((s - w) / max(steps - w, 1), 1), at least 0
 *   warmup = w > 0          all of it times min((s + 1) / w, 1)
 *   momentum.steps > 0      mu + (momentum.to - mu) · min(s / momentum.steps, 1), of the momentum
 *
 * every, steps and w count batches, even where several make one update; with schedule.unit =
 * "epoch" they still count epochs, until a driver has seen the data.
 */
#include "passes/optimize.h"

#include <string.h>

static const double pi = 3.14159265358979323846;

static KdValue *number(KdBuilder *b, double value) {
    return kd_constant(b, kd_scalar(KD_F32), value);
}

/* Operands are made before the call: C leaves the order of argument evaluation open. */
static KdValue *scaled(KdBuilder *b, KdOp op, KdValue *x, double by) {
    return kd_binary(b, op, x, number(b, by));
}

static KdValue *append_decay(KdBuilder *b, KdValue *step, double every, double gamma) {
    KdValue *times = kd_unary(b, KD_OP_FLOOR, scaled(b, KD_OP_DIV, step, every));
    return kd_binary(b, KD_OP_POW, number(b, gamma), times);
}

static KdValue *append_cosine(KdBuilder *b, KdValue *step, double warmup, double steps) {
    KdValue *past = scaled(b, KD_OP_SUB, step, warmup);
    KdValue *done = scaled(b, KD_OP_DIV, past, steps > warmup ? steps - warmup : 1);
    done = scaled(b, KD_OP_MAX, scaled(b, KD_OP_MIN, done, 1), 0);
    KdValue *wave = kd_unary(b, KD_OP_COS, scaled(b, KD_OP_MUL, done, pi));
    return scaled(b, KD_OP_MUL, scaled(b, KD_OP_ADD, wave, 1), 0.5);
}

KdValue *kd_append_schedule(KdBuilder *b, KdValue *step, KdValue *lr) {
    const KdAttr *program = b->f->module->program;
    const char *kind = kd_attr_str(program, "schedule", "constant");
    double every = kd_attr_num(program, "schedule.every", 0);
    double steps = kd_attr_num(program, "schedule.steps", 0);
    double warmup = kd_attr_num(program, "warmup", 0);
    KdLoc loc = { b->f->module->source, 0 };
    bool decays = !strcmp(kind, "step"), waves = !strcmp(kind, "cosine");
    if (!decays && !waves && strcmp(kind, "constant") != 0) {
        kd_error(b->diag, loc, "optimize: schedule is 'constant', 'step' or 'cosine', not '%s'",
                 kind);
        return NULL;
    }
    bool falls = (decays && every > 0) || (waves && steps > 0 && steps >= warmup); /* not for nan */
    if ((decays || waves) && !falls) {
        kd_error(b->diag, loc, "optimize: schedule '%s' wants %s", kind,
                 decays ? "schedule.every > 0" : "schedule.steps >= warmup");
        return NULL;
    }
    if (!falls && !(warmup > 0)) return lr;

    KdValue *s = kd_cast(b, step, KD_F32);
    KdValue *factor = NULL;
    if (decays) factor = append_decay(b, s, every, kd_attr_num(program, "schedule.gamma", 0.1));
    if (waves) factor = append_cosine(b, s, warmup, steps);
    if (warmup > 0) {
        KdValue *part = scaled(b, KD_OP_DIV, scaled(b, KD_OP_ADD, s, 1), warmup);
        KdValue *ramp = scaled(b, KD_OP_MIN, part, 1);
        factor = factor ? kd_binary(b, KD_OP_MUL, factor, ramp) : ramp;
    }
    b->name = "lr.now";
    return kd_binary(b, KD_OP_MUL, lr, factor);
}

KdValue *kd_append_momentum(KdBuilder *b, KdValue *step, KdValue *from, KdValue *to) {
    double steps = kd_attr_num(b->f->module->program, "momentum.steps", 0);
    KdValue *part = scaled(b, KD_OP_DIV, kd_cast(b, step, KD_F32), steps);
    KdValue *done = scaled(b, KD_OP_MIN, part, 1);
    KdValue *risen = kd_binary(b, KD_OP_MUL, kd_binary(b, KD_OP_SUB, to, from), done);
    b->name = "momentum.now";
    return kd_binary(b, KD_OP_ADD, from, risen);
}
