/*
 * What the files of the Lua host share. A script runs in a sandboxed state; while it defines a
 * network, or while a run is lowered, its functions are called with tensor userdata, and every
 * operation on those appends an instruction to the function under construction: the trace.
 *
 * Lua errors longjmp through our C, so whatever lives across a call into Lua lies in the host's
 * arena. kd_host_fail says an error and unwinds; a builder's NULL (it has said its error) unwinds
 * by kd_host_check.
 */
#ifndef KD_FRONTEND_HOST_H
#define KD_FRONTEND_HOST_H

#include "frontend/script.h"

#include <time.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#define KD_MAX_COUNTERS 16
#define KD_MAX_TEACHERS 48 /* of one run */

/* A list that grows in the arena. */
typedef struct KdList {
    int n, room;
    void **item;
} KdList;

/* The function that tensors are being traced into. */
typedef struct KdTrace {
    KdBuilder b;
    KdNetwork *network;     /* being traced; NULL: a loss */
    const char *auxiliary;  /* a loss: the network beside which its parameters are trained */
    bool training;          /* dropout is live */
    bool renewing;          /* statistics are the batch's, and running ones are renewed */
    bool define;            /* the first trace: layers are recorded */
    KdValue *index, *epoch; /* what random streams are drawn by */
    KdValue *step;          /* the same for a whole batch */
    KdList sites;           /* KdValue: what the script named */
    KdList params;          /* KdParam, in the order of first use */
    KdList renewed;         /* KdValue: new running statistics, in the order of their parameters */
    const char *layer;      /* name of the layer whose ops are being built, or NULL */
    const char *prefix;     /* of value names, or NULL */
    KdInstr *layer_start;   /* last instruction before the layer */
    int layer_params;       /* parameters known before the layer */
    int ncounters;
    struct {
        const char *kind;
        int n;
    } counter[KD_MAX_COUNTERS];
    KdLoc loc; /* of ops that no line of the script made */
} KdTrace;

typedef struct KdParamSet {
    const char *name;
    double value;
    bool used;
} KdParamSet;

typedef struct KdHost {
    KdScript script; /* first: kd_script_destroy frees the host behind it */
    KdArena *arena;
    KdDiag *d;
    const KdScriptOptions *o;
    lua_State *L;
    KdTrace *trace;      /* NULL outside of network and loss functions */
    KdList networks;     /* KdNetwork */
    KdList modules;      /* KdModule, destroyed with the script */
    KdList files;        /* names of files read: char * */
    KdList known;        /* names that kd.param asked for */
    KdParamSet *sets;    /* --set */
    const char *library; /* folder of the kd library's Lua half */
    const char *folder;  /* the script's folder, with a final '/', or "" */
    size_t bytes, churn; /* Lua memory now, and handed out in all */
    bool starved;        /* the system had no memory when Lua asked, below all limits */
    int64_t ops;         /* traced into the newest module */
    size_t traced;       /* bytes of all modules but the newest */
    int64_t instructions;
    clock_t started; /* processor time when the script began */
    bool tired;      /* a limit was reached: the next instruction fails as well */
} KdHost;

/* --- sandbox.c: the state and its limits --------------------------------------------------- */

/* A state with the allowed libraries and our `require`; NULL when there is no memory. */
lua_State *kd_sandbox_create(KdHost *h);
/* Pushes a module of the library; scripts cannot get at this way to it. */
void kd_library_push(lua_State *L, const char *name);
/* Where kdc's own files of Lua lie; NULL where they are not. */
const char *kd_library_folder(KdArena *a);
KdHost *kd_host(lua_State *L);
/* Reads a whole text file into the arena and mixes it into the script's hash; NULL if it cannot. */
char *kd_host_read(KdHost *h, const char *path, size_t *size);
/* Pushes the file's chunk, compiled as text. False: a message was pushed instead. */
bool kd_host_load(KdHost *h, const char *path, const char *chunkname);

/* --- lua_paths.c: files that a script names ----------------------------------------------------
 */

/* Does the file lie below the script's folder, links followed? */
bool kd_host_below(const KdHost *h, const char *path);
/* What is wrong with a file before it is opened, as in "FILE is a link out of the script's folder";
 * NULL: nothing, or it is not there. `anywhere`: the user named its folder. */
const char *kd_host_file_fault(const KdHost *h, const char *path, bool anywhere);
void kd_paths_open(lua_State *L); /* adds to the table on top */

/* --- errors.c: from Lua errors to diagnostics ------------------------------------------------ */

/* The innermost line of the user's files among the stack's last 200 calls; the trace's own place
 * when there is none. */
KdLoc kd_host_where(lua_State *L);
/* Says an error at the user's line and unwinds. */
_Noreturn void kd_host_fail(lua_State *L, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
_Noreturn void kd_host_fail_at(lua_State *L, KdLoc loc, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Unwinds after an error that was said already. */
_Noreturn void kd_host_unwind(lua_State *L);
/* Message handler of every pcall: says what was not said yet, with the calls that led there. */
int kd_host_handler(lua_State *L);
/* Says a message that luaL_load or a dead state left, `file:line: …` taken apart. */
void kd_host_report(KdHost *h, const char *message);
const char *kd_host_intern(KdHost *h, const char *file);

void kd_list_add(KdArena *a, KdList *l, void *item);

/* --- lua_fields.c: tables of kdc's own Lua --------------------------------------------------- */

/* The field, copied to the arena; NULL, 0 where it is absent or of another type. */
const char *kd_field_text(lua_State *L, int table, const char *key);
int64_t kd_field_integer(lua_State *L, int table, const char *key);
double kd_field_number(lua_State *L, int table, const char *key);
/* { file, line }; and the field `where` that holds one. */
KdLoc kd_table_loc(lua_State *L, int table);
KdLoc kd_field_loc(lua_State *L, int table);

/* --- lua_tensor.c: tensor userdata ----------------------------------------------------------- */

/* The trace now running; an error outside of one. */
KdTrace *kd_trace(lua_State *L, const char *what);
/* The builder, at the user's line; `name` is wanted for the next result (NULL: the layer's). */
KdBuilder *kd_trace_builder(lua_State *L, const char *what);
int kd_tensor_push(lua_State *L, KdValue *v); /* unwinds on NULL */
KdValue *kd_tensor_check(lua_State *L, int arg, const char *what);
bool kd_tensor_is(lua_State *L, int arg);
KdOp kd_op_check(lua_State *L, int arg); /* the op of that name */
/* The axis of x at `arg`, from 0; an error when x has none of that number. */
int kd_axis_check(lua_State *L, int arg, const KdValue *x, const char *what);
/* x seen as having shape `like`, its dims aligned at the end; NULL where that is not possible. */
KdValue *kd_tensor_broadcast(KdBuilder *b, KdValue *x, KdType like);
/* An array of integers at `arg`: how many; an error when there are more than `room`. */
int kd_ints_check(lua_State *L, int arg, int room, int64_t *out, const char *what);
void kd_tensor_open(lua_State *L);   /* adds to the table on top */
void kd_movement_open(lua_State *L); /* lua_movement.c */

/* --- lua_network.c: layers' primitives, parameters, tracing of a function -------------------- */

void kd_network_open(lua_State *L); /* adds to the table on top */
void kd_checks_open(lua_State *L);  /* lua_checks.c: what the library asks of its host */
void kd_seal_open(lua_State *L);    /* lua_seal.c: descriptors that scripts cannot look into */
/* Calls the network's function on x with a trace that is set up but for the network. */
KdValue *kd_network_trace(lua_State *L, KdTrace *t, KdNetwork *n, KdValue *x);

/* --- lower.c ---------------------------------------------------------------------------------- */

/* Lowers the described runs, an array at index 1; a C function for pcall. */
int kd_lower_runs(lua_State *L);
/* lua_study.c: reads the description on top of the stack; the script's runs are known. */
KdStudy *kd_study_read(lua_State *L, const KdScript *s);
/* lua_data.c: the data set whose record is on top of the stack, popped. One for each record. */
const KdDataSpec *kd_data_read(lua_State *L);
KdModule *kd_host_module(lua_State *L); /* a new one, owned by the script */
/* An error when the script has made more IR than it may: memory outside of Lua's count. */
void kd_host_room(lua_State *L);

#endif
