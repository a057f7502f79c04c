/*
 * JSON for summary, metrics and manifest, so that callers need not know cJSON. A report is an
 * object under construction; setters ignore a failed allocation, writing reports it.
 */
#ifndef KDRT_HOST_REPORT_H
#define KDRT_HOST_REPORT_H

#include "runtime/host/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct cJSON KdrtJson;

KdrtJson *kdrt_json_object(void);
void kdrt_json_free(KdrtJson *json);
void kdrt_json_number(KdrtJson *object, const char *key, double value); /* NaN, inf: null */
void kdrt_json_integer(KdrtJson *object, const char *key,
                       int64_t value); /* beyond 2^53: a string */
void kdrt_json_string(KdrtJson *object, const char *key, const char *value); /* NULL: null */
void kdrt_json_hash(KdrtJson *object, const char *key, uint64_t value);      /* 16 hex digits */
void kdrt_json_bool(KdrtJson *object, const char *key, bool value);
/* A new object or array under that key, owned by the parent. */
KdrtJson *kdrt_json_child(KdrtJson *object, const char *key);
KdrtJson *kdrt_json_array(KdrtJson *object, const char *key);
KdrtJson *kdrt_json_append(KdrtJson *array); /* a new object at its end */

/* Indented, written whole. */
bool kdrt_json_write(const char *path, const KdrtJson *json, KdrtError *error);
/* On one line, without its end; whoever closes the stream learns of errors. */
bool kdrt_json_print(FILE *out, const KdrtJson *json);
/* One line at the end of a file that is opened, appended to and flushed: metrics.jsonl. */
bool kdrt_json_append_line(const char *path, const KdrtJson *json, KdrtError *error);

/* Keeps of such a file the lines for which keep(line, user) holds; a last line that was cut off
 * goes too. A missing file is an empty one. */
bool kdrt_json_keep_lines(const char *path, bool (*keep)(const KdrtJson *line, void *user),
                          void *user, KdrtError *error);

/* Reads a file of at most 16 MB; free with kdrt_json_free. NULL after an error. */
KdrtJson *kdrt_json_read(const char *path, KdrtError *error);
/* Members of a read object; `absent` for a missing one or another kind. */
const KdrtJson *kdrt_json_get(const KdrtJson *object, const char *key);
const char *kdrt_json_get_string(const KdrtJson *object, const char *key, const char *absent);
double kdrt_json_get_number(const KdrtJson *object, const char *key, double absent);
bool kdrt_json_get_bool(const KdrtJson *object, const char *key); /* false when it is missing */
int kdrt_json_length(const KdrtJson *array);
const KdrtJson *kdrt_json_at(const KdrtJson *array, int k);
/* Puts a whole object under that key, in place of what was there; the parent owns it from now on.
 */
void kdrt_json_adopt(KdrtJson *object, const char *key, KdrtJson *value);
bool kdrt_json_equal(const KdrtJson *a, const KdrtJson *b);

#endif
