/* IR text as a number: moving a line of the script, or the script itself, changes nothing. */
#include "frontend/driver/text_hash.h"

#include "runtime/host/hash.h"

#include <stdbool.h>
#include <string.h>

/* Behind the `)` that ends a location: the name of its file may hold others. */
static const char *behind_loc(const char *text) {
    bool quoted = false;
    for (; *text && (quoted || *text != ')'); text++) {
        if (*text == '"') quoted = !quoted;
        if (*text == '\\' && text[1]) text++;
    }
    return *text ? text + 1 : text;
}

uint64_t kd_text_hash(const char *text, uint64_t hash) {
    while (*text) {
        const char *loc = strstr(text, " loc(");
        const char *line = strchr(text, '\n');
        if (strncmp(text, "source ", 7) == 0 && line) {
            text = line;
            continue;
        }
        const char *end = loc && line && loc < line ? loc : line ? line + 1 : text + strlen(text);
        hash = kdrt_hash(text, (size_t)(end - text), hash);
        text = end == loc ? behind_loc(loc) : end;
    }
    return hash;
}
