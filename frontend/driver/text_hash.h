/* A hash of IR text that does not depend on where the script's lines stand. */
#ifndef KD_FRONTEND_DRIVER_TEXT_HASH_H
#define KD_FRONTEND_DRIVER_TEXT_HASH_H

#include <stdint.h>

/* Of a module's text without its source line and every ` loc(…)`, beginning with `hash`. */
uint64_t kd_text_hash(const char *text, uint64_t hash);

#endif
