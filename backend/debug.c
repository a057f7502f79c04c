/*
 * DWARF by LLVM's DIBuilder: one compile unit a module, a file for each script that is named, a
 * subprogram a function. Ops of another file than their function's (a network required from a
 * library) get a scope in that file.
 */
#include "backend/debug.h"

#include <llvm-c/DebugInfo.h>
#include <string.h>
#include <unistd.h>

#define MAX_FILES 64

typedef struct File {
    const char *path;
    LLVMMetadataRef file;
    LLVMMetadataRef scope; /* in the function under construction; NULL: none yet */
} File;

typedef struct KdDebug KdDebug;
struct KdDebug {
    LLVMDIBuilderRef b;
    char folder[1024]; /* where relative paths begin */
    LLVMMetadataRef type, subprogram;
    int nfiles;
    File file[MAX_FILES];
};

static File *file_of(KdDebug *g, const char *path) {
    for (int k = 0; k < g->nfiles; k++) {
        if (strcmp(g->file[k].path, path) == 0) {
            return &g->file[k];
        }
    }
    if (g->nfiles == MAX_FILES) {
        return &g->file[0];
    }
    File *f = &g->file[g->nfiles++];
    *f = (File){ .path = path };
    f->file = LLVMDIBuilderCreateFile(g->b, path, strlen(path), g->folder, strlen(g->folder));
    return f;
}

static void add_flag(KdEmit *e, const char *name, int value) {
    LLVMMetadataRef number = LLVMValueAsMetadata(kd_emit_i32(e, value));
    LLVMAddModuleFlag(e->mod, LLVMModuleFlagBehaviorWarning, name, strlen(name), number);
}

void kd_debug_open(KdEmit *e) {
    static const char producer[] = "kdc";
    e->debug = NULL;
    if (e->options->debug == KD_DEBUG_NONE) {
        return;
    }
    KdDebug *g = e->debug = KD_NEW(e->arena, KdDebug);
    if (!getcwd(g->folder, sizeof g->folder)) {
        g->folder[0] = '\0';
    }
    g->b = LLVMCreateDIBuilder(e->mod);
    File *source = file_of(g, e->m->source ? e->m->source : "kdc");
    LLVMDIBuilderCreateCompileUnit(g->b, LLVMDWARFSourceLanguageC99, source->file, producer,
                                   strlen(producer), 1, "", 0, 0, "", 0, LLVMDWARFEmissionFull, 0,
                                   0, 0, "", 0, "", 0);
    g->type = LLVMDIBuilderCreateSubroutineType(g->b, source->file, NULL, 0, LLVMDIFlagZero);
    add_flag(e, "Debug Info Version", (int)LLVMDebugMetadataVersion());
    add_flag(e, "Dwarf Version", 4);
}

void kd_debug_close(KdEmit *e) {
    if (e->debug) {
        LLVMDIBuilderFinalize(e->debug->b);
        LLVMDisposeDIBuilder(e->debug->b);
    }
    e->debug = NULL;
}

static LLVMMetadataRef location(KdEmit *e, int line, LLVMMetadataRef scope) {
    return LLVMDIBuilderCreateDebugLocation(e->cx, (unsigned)line, 0, scope, NULL);
}

void kd_debug_function(KdEmit *e, const char *name, KdLoc loc) {
    KdDebug *g = e->debug;
    if (!g) {
        return;
    }
    File *file = loc.file ? file_of(g, loc.file) : &g->file[0];
    unsigned line = loc.line > 0 ? (unsigned)loc.line : 0;
    g->subprogram =
        LLVMDIBuilderCreateFunction(g->b, file->file, name, strlen(name), name, strlen(name),
                                    file->file, line, g->type, 0, 1, line, LLVMDIFlagZero, 1);
    LLVMSetSubprogram(e->fn, g->subprogram);
    for (int k = 0; k < g->nfiles; k++) {
        g->file[k].scope = NULL;
    }
    file->scope = g->subprogram;
    LLVMSetCurrentDebugLocation2(e->b, location(e, (int)line, g->subprogram));
}

LLVMMetadataRef kd_debug_enter(KdEmit *e, KdLoc loc) {
    KdDebug *g = e->debug;
    if (!g) {
        return NULL;
    }
    LLVMMetadataRef before = LLVMGetCurrentDebugLocation2(e->b);
    if (loc.file && loc.line > 0) {
        File *f = file_of(g, loc.file);
        if (!f->scope) {
            f->scope = LLVMDIBuilderCreateLexicalBlockFile(g->b, g->subprogram, f->file, 0);
        }
        LLVMSetCurrentDebugLocation2(e->b, location(e, loc.line, f->scope));
    }
    return before;
}

void kd_debug_leave(KdEmit *e, LLVMMetadataRef before) {
    if (e->debug) {
        LLVMSetCurrentDebugLocation2(e->b, before);
    }
}
