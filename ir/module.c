/* Modules: hyperparameters, parameters and their layout in slabs, and the list of functions. */
#include "ir/ir.h"

#include <string.h>

KdModule *kd_module_create(const char *source) {
    KdArena *a = kd_arena_create();
    KdModule *m = KD_NEW(a, KdModule);
    m->arena = a;
    m->target = kd_target_default();
    m->source = source ? kd_arena_string(a, source) : NULL;
    return m;
}

void kd_module_destroy(KdModule *m) {
    if (m) kd_arena_destroy(m->arena);
}

int kd_module_hyper(const KdModule *m, const char *name) {
    for (int k = 0; k < m->nhypers; k++) {
        if (strcmp(m->hypers[k]->name, name) == 0) return k;
    }
    return -1;
}

int kd_module_add_hyper(KdModule *m, const char *name, double value, KdLoc loc) {
    int at = kd_module_hyper(m, name);
    if (at < 0) {
        at = m->nhypers;
        m->hypers = KD_GROW_ARRAY(m->arena, m->hypers, at);
        m->hypers[at] = KD_NEW(m->arena, KdHyper);
        m->hypers[at]->name = kd_arena_string(m->arena, name);
        m->nhypers++;
    }
    m->hypers[at]->value = value;
    m->hypers[at]->loc = loc;
    return at;
}

KdParam *kd_module_param(const KdModule *m, const char *network, const char *name) {
    for (int k = 0; k < m->nparams; k++) {
        KdParam *p = m->params[k];
        if (strcmp(p->network, network) == 0 && strcmp(p->name, name) == 0) return p;
    }
    return NULL;
}

KdParam *kd_module_add_param(KdModule *m, const char *network, const char *name, KdType type) {
    KdParam *p = KD_NEW(m->arena, KdParam);
    p->network = kd_arena_string(m->arena, network);
    p->name = kd_arena_string(m->arena, name);
    p->type = type;
    p->init = "constant";
    m->params = KD_GROW_ARRAY(m->arena, m->params, m->nparams);
    m->params[m->nparams++] = p;
    return p;
}

KdParam *kd_param_of_value(const KdModule *m, const KdValue *v) {
    if (v->def || !v->kind || strcmp(v->kind, KD_ARG_PARAM) != 0) return NULL;
    for (int k = 0; k < m->nparams; k++) {
        const KdParam *p = m->params[k];
        size_t letters = strlen(p->network);
        if (strncmp(v->name, p->network, letters) == 0 && v->name[letters] == '.' &&
            strcmp(v->name + letters + 1, p->name) == 0) {
            return m->params[k];
        }
    }
    return NULL;
}

void kd_module_drop_auxiliary(KdModule *m) {
    int kept = 0;
    for (int k = 0; k < m->nparams; k++)
        if (!m->params[k]->auxiliary) m->params[kept++] = m->params[k];
    m->nparams = kept;
}

static int64_t slab_room(const KdParam *p) {
    int64_t count = (kd_type_bytes(p->type, 0, 0) + 3) / 4; /* places of an f32 each */
    return (count + KD_SLAB_ALIGN - 1) / KD_SLAB_ALIGN * KD_SLAB_ALIGN;
}

/* Room for the network's parameters of one kind in front of `end`, or all of them for NULL. Every
 * parameter takes whole multiples of KD_SLAB_ALIGN, the last one too: as the op `slab` does. */
static int64_t room_before(const KdModule *m, const char *network, bool running,
                           const KdParam *end) {
    int64_t count = 0;
    for (int k = 0; k < m->nparams && m->params[k] != end; k++) {
        const KdParam *p = m->params[k];
        if (p->running == running && strcmp(p->network, network) == 0) count += slab_room(p);
    }
    return count;
}

int64_t kd_slab_offset(const KdModule *m, const KdParam *p) {
    int64_t first = p->running ? kd_slab_trained(m, p->network) : 0;
    return first + room_before(m, p->network, p->running, p);
}

int64_t kd_slab_operand_offset(const KdInstr *i, int k) {
    int64_t at = 0;
    for (int j = 0; j < k; j++) {
        int64_t end = at + kd_type_elements(i->args[j]->type, 1, 1);
        at = (end + KD_SLAB_ALIGN - 1) / KD_SLAB_ALIGN * KD_SLAB_ALIGN;
    }
    return at;
}

int64_t kd_slab_elements(const KdModule *m, const char *network) {
    return kd_slab_trained(m, network) + room_before(m, network, true, NULL);
}

int64_t kd_slab_trained(const KdModule *m, const char *network) {
    return room_before(m, network, false, NULL);
}

KdFunc *kd_module_func(const KdModule *m, const char *name) {
    KD_EACH_FUNC(f, m) {
        if (strcmp(f->name, name) == 0) return f;
    }
    return NULL;
}
