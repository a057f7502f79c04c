/*
 * What only compiling needs goes back to the system before training takes its memory: what was
 * allocated and freed, and the pages of LLVM's library, which come again from its file when a next
 * run is compiled.
 */
#define _GNU_SOURCE
#include "frontend/driver/session.h"

#ifdef __linux__
#include <link.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#endif
#ifdef __GLIBC__
#include <malloc.h>
#endif

#ifdef __linux__
/* The whole pages of a segment that nobody can write to. */
static void release_segment(uintptr_t start, size_t bytes) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = (start + page - 1) / page * page, end = (start + bytes) / page * page;
    if (end > first) madvise((void *)first, end - first, MADV_DONTNEED);
}

static int release_library(struct dl_phdr_info *library, size_t size, void *user) {
    (void)size, (void)user;
    if (!strstr(library->dlpi_name, "libLLVM")) return 0;
    for (int k = 0; k < library->dlpi_phnum; k++) {
        const ElfW(Phdr) *segment = &library->dlpi_phdr[k];
        if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W))
            release_segment(library->dlpi_addr + segment->p_vaddr, segment->p_memsz);
    }
    return 0;
}
#endif

void kd_release_compiler(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
#ifdef __linux__
    dl_iterate_phdr(release_library, NULL);
#endif
}
