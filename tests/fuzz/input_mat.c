/*
 * libFuzzer on SVHN's MATLAB files: read, or refused with an error that names the file. They are
 * read in a process of their own, whose counters libFuzzer would not see: here they lie in memory
 * that the two share. A child that a sanitizer ended, or a signal but that for too much time, is
 * a finding (gdb shows it, with `set follow-fork-mode child`).
 */
#define _GNU_SOURCE /* mremap */

#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime/host/formats.h"
#include "tests/fuzz/input_file.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);

/* In the place of the child's limit on memory, which cannot hold under AddressSanitizer. */
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1:max_allocation_size_mb=64:quarantine_size_mb=1";
}

/* The linker's names for where the counters of -fsanitize=fuzzer lie. */
extern char __start___sancov_cntrs[], __stop___sancov_cntrs[];

/* What lies beside the counters AddressSanitizer would not let be read. */
__attribute__((no_sanitize("address"))) static void copy(volatile char *to, const char *from,
                                                         size_t bytes) {
    for (size_t k = 0; k < bytes; k++) to[k] = from[k];
}

/* Puts shared pages in the place of those that hold the counters (and a few bytes beside them). */
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    char *first = __start___sancov_cntrs - (uintptr_t)__start___sancov_cntrs % page;
    size_t bytes = ((size_t)(__stop___sancov_cntrs - first) + page - 1) / page * page;
    char *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) abort();
    copy(pages, first, bytes);
    if (mremap(pages, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, first) != first) abort();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = input_file(".mat", data, size);
    KdrtArray pair[2];
    KdrtError error = { "" };
    if (kdrt_svhn_read(path, pair, &error)) {
        kdrt_array_free(&pair[0]);
        kdrt_array_free(&pair[1]);
    } else if (!strstr(error.text, path)) {
        abort();
    } else if (strstr(error.text, "damaged: reading it") &&
               !strstr(error.text, strsignal(SIGXCPU))) {
        fprintf(stderr, "%s\n", error.text);
        abort();
    }
    return 0;
}
