/* What kd.study described, read from the table at the top of the stack. */
#include "frontend/host.h"

static void read_row(lua_State *L, KdStudy *study, int k, const KdRun *run) {
    KdArena *a = kd_host(L)->arena;
    double *values = KD_NEW_ARRAY(a, double, study->naxes);
    lua_rawgeti(L, -1, k + 1);
    int row = lua_gettop(L);
    const char *label = kd_field_text(L, row, "label");
    lua_getfield(L, row, "values");
    for (int n = 0; n < study->naxes; n++) {
        lua_rawgeti(L, -1, n + 1);
        values[n] = lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
    study->runs[k] = (KdStudyRun){ .run = run,
                                   .configuration = (int)kd_field_integer(L, row, "configuration"),
                                   .seed = (int)kd_field_integer(L, row, "seed"),
                                   .label = label,
                                   .values = values };
    lua_settop(L, row - 1);
}

KdStudy *kd_study_read(lua_State *L, const KdScript *s) {
    KdArena *a = kd_host(L)->arena;
    KdStudy *study = KD_NEW(a, KdStudy);
    int top = lua_gettop(L);
    lua_getfield(L, top, "keys");
    study->naxes = (int)lua_rawlen(L, -1);
    study->axes = KD_NEW_ARRAY(a, const char *, study->naxes);
    for (int k = 0; k < study->naxes; k++) {
        lua_rawgeti(L, -1, k + 1);
        study->axes[k] = kd_arena_string(a, lua_tostring(L, -1));
        lua_pop(L, 1);
    }
    lua_getfield(L, top, "rows");
    study->nruns = s->nlisted;
    study->runs = KD_NEW_ARRAY(a, KdStudyRun, s->nlisted);
    for (int k = 0; k < s->nlisted; k++) read_row(L, study, k, s->listed[k]);
    lua_settop(L, top);
    return study;
}
