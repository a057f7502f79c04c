/* JSON reports over cJSON; see the header. */
#include "runtime/host/report.h"

#include "runtime/host/atomic_file.h"
#include "runtime/host/internal.h"
#include "runtime/kdrt.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define FILE_LIMIT  ((size_t)16 << 20)
#define LINES_LIMIT ((size_t)1 << 30)

/* --- making them ---------------------------------------------------------------------------------
 */

/* What an object or array lacks when there was no memory for a member; a bit that cJSON leaves
 * alone. It keeps the report from being written. */
#define INCOMPLETE (1 << 16)

static cJSON *added(cJSON *parent, cJSON *item) {
    if (parent && !item) parent->type |= INCOMPLETE;
    return item;
}

static bool is_whole(const cJSON *json) {
    const cJSON *item;
    if (json->type & INCOMPLETE) return false;
    cJSON_ArrayForEach(item, json) if (!is_whole(item)) return false;
    return true;
}

KdrtJson *kdrt_json_object(void) {
    return cJSON_CreateObject();
}

void kdrt_json_free(KdrtJson *json) {
    cJSON_Delete(json);
}

void kdrt_json_number(KdrtJson *object, const char *key, double value) {
    added(object, isfinite(value) ? cJSON_AddNumberToObject(object, key, value)
                                  : cJSON_AddNullToObject(object, key));
}

void kdrt_json_integer(KdrtJson *object, const char *key, int64_t value) {
    if (value <= (INT64_C(1) << 53) && value >= -(INT64_C(1) << 53)) {
        kdrt_json_number(object, key, (double)value);
        return;
    }
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    kdrt_json_string(object, key, text);
}

void kdrt_json_string(KdrtJson *object, const char *key, const char *value) {
    added(object,
          value ? cJSON_AddStringToObject(object, key, value) : cJSON_AddNullToObject(object, key));
}

void kdrt_json_hash(KdrtJson *object, const char *key, uint64_t value) {
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)value);
    kdrt_json_string(object, key, text);
}

void kdrt_json_bool(KdrtJson *object, const char *key, bool value) {
    added(object, cJSON_AddBoolToObject(object, key, value));
}

KdrtJson *kdrt_json_child(KdrtJson *object, const char *key) {
    return added(object, cJSON_AddObjectToObject(object, key));
}

KdrtJson *kdrt_json_array(KdrtJson *object, const char *key) {
    return added(object, cJSON_AddArrayToObject(object, key));
}

/* The item at the array's end, or NULL where there is no array or no item. */
static cJSON *appended(cJSON *array, cJSON *item) {
    if (cJSON_AddItemToArray(array, item)) return item;
    cJSON_Delete(item);
    return added(array, NULL);
}

KdrtJson *kdrt_json_append(KdrtJson *array) {
    return appended(array, cJSON_CreateObject());
}

/* --- writing and reading -------------------------------------------------------------------------
 */

bool kdrt_json_write(const char *path, const KdrtJson *json, KdrtError *error) {
    char *text = json && is_whole(json) ? cJSON_Print(json) : NULL;
    if (!text) return kdrt_fail(error, "%s: no memory to write it", path);
    const KdrtPiece pieces[] = { { text, strlen(text) }, { "\n", 1 } };
    bool done = kdrt_file_write(path, pieces, 2, error);
    cJSON_free(text);
    return done;
}

bool kdrt_json_print(FILE *out, const KdrtJson *json) {
    char *text = cJSON_PrintUnformatted(json);
    bool done = text && fputs(text, out) >= 0;
    cJSON_free(text);
    return done;
}

bool kdrt_json_append_line(const char *path, const KdrtJson *json, KdrtError *error) {
    char *text = json && is_whole(json) ? cJSON_PrintUnformatted(json) : NULL;
    if (!text) return kdrt_fail(error, "%s: no memory to write it", path);
    FILE *f = fopen(path, "ab");
    bool done = f && fprintf(f, "%s\n", text) > 0;
    if (f && fclose(f)) done = false;
    cJSON_free(text);
    return done || kdrt_fail(error, "%s: cannot write: %s", path, strerror(errno));
}

bool kdrt_json_keep_lines(const char *path, bool (*keep)(const KdrtJson *line, void *user),
                          void *user, KdrtError *error) {
    size_t bytes, kept = 0;
    if (access(path, F_OK) != 0) return true;
    char *text = kdrt_file_read(path, LINES_LIMIT, &bytes, error);
    if (!text) return false;
    for (size_t at = 0; at < bytes;) {
        char *end = memchr(text + at, '\n', bytes - at);
        if (!end) break;
        size_t length = (size_t)(end + 1 - text) - at;
        cJSON *line = cJSON_ParseWithLength(text + at, length);
        if (!line || keep(line, user)) { /* what cannot be read is not ours to drop */
            memmove(text + kept, text + at, length);
            kept += length;
        }
        cJSON_Delete(line);
        at += length;
    }
    const KdrtPiece piece = { text, kept };
    bool done = kept == bytes || kdrt_file_write(path, &piece, 1, error);
    kdrt_free(text);
    return done;
}

KdrtJson *kdrt_json_read(const char *path, KdrtError *error) {
    size_t bytes;
    char *text = kdrt_file_read(path, FILE_LIMIT, &bytes, error);
    if (!text) return NULL;
    cJSON *json = cJSON_ParseWithOpts(text, NULL, 1);
    kdrt_free(text);
    if (!json)
        kdrt_fail(error, "%s: expected JSON, found something else, or no memory for it", path);
    return json;
}

const KdrtJson *kdrt_json_get(const KdrtJson *object, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

const char *kdrt_json_get_string(const KdrtJson *object, const char *key, const char *absent) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsString(item) ? item->valuestring : absent;
}

double kdrt_json_get_number(const KdrtJson *object, const char *key, double absent) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : absent;
}

bool kdrt_json_get_bool(const KdrtJson *object, const char *key) {
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(object, key));
}

bool kdrt_json_equal(const KdrtJson *a, const KdrtJson *b) {
    return cJSON_Compare(a, b, 1);
}

int kdrt_json_length(const KdrtJson *array) {
    return cJSON_GetArraySize(array);
}

const KdrtJson *kdrt_json_at(const KdrtJson *array, int k) {
    return cJSON_GetArrayItem(array, k);
}

void kdrt_json_adopt(KdrtJson *object, const char *key, KdrtJson *value) {
    cJSON_DeleteItemFromObjectCaseSensitive(object, key);
    if (cJSON_AddItemToObject(object, key, value)) return;
    cJSON_Delete(value);
    added(object, NULL);
}
