/* What a data set of kd.data said, read from its table. */
#include "frontend/host.h"

#include <string.h>

#define INSTALLED "/usr/share/datasets/"

/* The field's strings, NULL-ended; NULL when there is no such field. */
static const char *const *text_list(lua_State *L, int table, const char *key) {
    const char **list = NULL;
    lua_getfield(L, table, key);
    if (lua_type(L, -1) == LUA_TTABLE) {
        int n = (int)lua_rawlen(L, -1);
        list = KD_NEW_ARRAY(kd_host(L)->arena, const char *, n + 1);
        for (int k = 0; k < n; k++) {
            lua_rawgeti(L, -1, k + 1);
            list[k] = kd_arena_string(kd_host(L)->arena, luaL_checkstring(L, -1));
            lua_pop(L, 1);
        }
    }
    lua_pop(L, 1);
    return list;
}

static void read_files(lua_State *L, int table, KdDataSpec *s) {
    const char *const *dirs = text_list(L, table, "dirs");
    for (int k = 0; dirs && k < 3 && dirs[k]; k++) s->dirs[k] = dirs[k];
    s->package = kd_field_text(L, table, "package");
    s->normalize = kd_field_text(L, table, "normalize");
    s->archive = kd_field_text(L, table, "archive");
    s->inside = kd_field_text(L, table, "inside");
    s->label = (int)kd_field_integer(L, table, "label");
    s->labels = (int)kd_field_integer(L, table, "labels");
    lua_getfield(L, table, "header");
    s->header = lua_toboolean(L, -1);
    lua_getfield(L, table, "transposed");
    s->transposed = lua_toboolean(L, -1);
    lua_pop(L, 2);
    s->md5 = text_list(L, table, "md5");
    s->train_x = kd_field_text(L, table, "train_x");
    s->train_y = kd_field_text(L, table, "train_y");
    s->test_x = kd_field_text(L, table, "test_x");
    s->test_y = kd_field_text(L, table, "test_y");
}

static void read_input(lua_State *L, int table, KdDataSpec *s) {
    lua_getfield(L, table, "scale");
    s->scale = lua_tonumber(L, -1);
    lua_getfield(L, table, "input");
    s->input.rank = 1 + kd_ints_check(L, lua_gettop(L), KD_MAX_RANK - 1, s->input.dim + 1, "input");
    lua_pop(L, 2);
    s->input.dim[0] = KD_BATCH;
    s->input.dtype = strcmp(kd_field_text(L, table, "dtype"), "u8") == 0 ? KD_U8 : KD_F32;
    s->stored = s->input.dtype;
    s->contrast = s->normalize && strcmp(s->normalize, "local") == 0;
    if (s->contrast) {
        s->normalize = NULL;
        s->input.dtype = KD_F32;
        s->scale = 1;
    }
}

static KdDataSpec *read_spec(lua_State *L, int table) {
    KdDataSpec *s = KD_NEW(kd_host(L)->arena, KdDataSpec);
    s->name = kd_field_text(L, table, "name");
    s->format = kd_field_text(L, table, "format");
    s->train = kd_field_integer(L, table, "train");
    s->validation = kd_field_integer(L, table, "validation");
    s->test = kd_field_integer(L, table, "test");
    s->take = kd_field_integer(L, table, "limit");
    s->omit = (uint64_t)kd_field_integer(L, table, "omit");
    s->first_label = (int)kd_field_integer(L, table, "first_label");
    s->classes = (int)kd_field_integer(L, table, "classes");
    s->class_names = text_list(L, table, "class_names");
    s->loc = kd_field_loc(L, table);
    read_files(L, table, s);
    read_input(L, table, s);
    return s;
}

/* Each file of a list with commas, or of none, in that folder. */
static void check_files(lua_State *L, const KdDataSpec *s, const char *folder, const char *files) {
    KdHost *h = kd_host(L);
    bool anywhere = h->o->data || strncmp(folder, INSTALLED, strlen(INSTALLED)) == 0;
    while (files && *files) {
        int n = (int)strcspn(files, ",");
        const char *path = kd_arena_format(h->arena, "%s/%.*s", folder, n, files);
        const char *fault = kd_host_file_fault(h, path, anywhere);
        if (fault)
            kd_host_fail_at(L, s->loc, "%s: %s %s%s", s->name, path, fault,
                            anywhere ? "" : "; --data names the folder of data elsewhere");
        files += n + (files[n] == ',');
    }
}

/* What may be opened where the data set is looked for. */
static void check_folders(lua_State *L, const KdDataSpec *s) {
    const KdHost *h = kd_host(L);
    const char *const own[2] = { h->o->data, NULL }, *const *folder = h->o->data ? own : s->dirs;
    for (; *folder; folder++) {
        const char *inside =
            s->inside ? kd_arena_format(h->arena, "%s/%s", *folder, s->inside) : NULL;
        check_files(L, s, *folder, s->archive);
        const char *const files[] = { s->train_x, s->train_y, s->test_x, s->test_y };
        for (int k = 0; k < 4; k++) {
            check_files(L, s, *folder, files[k]);
            if (inside) check_files(L, s, inside, files[k]);
        }
    }
}

const KdDataSpec *kd_data_read(lua_State *L) {
    int table = lua_gettop(L);
    luaL_checktype(L, table, LUA_TTABLE);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, "kd.data"); /* specs by record */
    lua_pushvalue(L, table);
    lua_rawget(L, -2);
    KdDataSpec *s = lua_touserdata(L, -1);
    if (!s) {
        s = read_spec(L, table);
        check_folders(L, s);
        lua_pushvalue(L, table);
        lua_pushlightuserdata(L, s);
        lua_rawset(L, table + 1);
    }
    lua_settop(L, table - 1);
    return s;
}
