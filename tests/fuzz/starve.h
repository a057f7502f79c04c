/*
 * Memory that runs out on purpose. kd-starve is kdc linked with --wrap=malloc and the like, so that
 * each allocation of kdc's own objects and of the runtime's comes here; Lua allocates through kdc,
 * and cJSON is told to. LLVM and other libraries keep their own.
 */
#ifndef KD_FUZZ_STARVE_H
#define KD_FUZZ_STARVE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct Starving {
    long fail;          /* number of the allocation that fails, from 1; 0: none */
    bool for_good;      /* and all after it */
    long count;         /* allocations so far */
    long live;          /* blocks that nobody has freed; -1: more than can be told */
    void *leak;         /* the code that asked for one of them */
    bool (*at)(long n); /* called at each allocation, which fails where it returns true; or NULL */
} Starving;

/* From now on allocations are counted in *s, and fail as it says, or in nothing where that is NULL;
 * starve_end fills in what is left. */
void starve_begin(Starving *s);
void starve_end(void);

/* Makes the folder `to` a copy of `from`, and goes there: files of `from` that this process has
 * open for writing are from now on those of `to`. The working folder is `from`; both are absolute.
 */
bool starve_move(const char *from, const char *to);

#endif
