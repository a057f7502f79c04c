/* `kdc info`: what a file of weights holds. */
#include "frontend/commands.h"
#include "frontend/outfile.h"
#include "runtime/host/safetensors.h"

#include <inttypes.h>
#include <string.h>

static void print_tensor(const KdrtTensor *t, int width, FILE *out) {
    char shape[192] = "";
    size_t at = 0;
    for (int k = 0; k < t->rank && at < sizeof shape; k++) {
        at +=
            (size_t)snprintf(shape + at, sizeof shape - at, "%s%" PRId64, k ? "," : "", t->dim[k]);
    }
    kd_put_plain(t->name, out);
    int letters = (int)strlen(t->name), blanks = width > letters ? width - letters : 0;
    fprintf(out, "%*s  %-4s  [%s]  %zu bytes\n", blanks, "", t->dtype, shape, t->bytes);
}

int kd_command_info(const KdOptions *o, KdDiag *d) {
    KdrtTensors t;
    KdrtError error;
    if (!kdrt_tensors_read(o->file, &t, &error)) {
        kd_file_error(d, o->file, &error);
        return KD_EXIT_WRONG;
    }
    size_t bytes = 0, elements = 0;
    int width = 0;
    for (int k = 0; k < t.ntensors; k++) {
        size_t element = kdrt_tensor_width(t.tensors[k].dtype);
        int letters = (int)strlen(t.tensors[k].name);
        bytes += t.tensors[k].bytes;
        elements += element ? t.tensors[k].bytes / element : 0;
        if (letters > width && letters <= 60) width = letters;
    }
    for (int k = 0; k < t.ntensors; k++) print_tensor(&t.tensors[k], width, stdout);
    printf("%d tensors, %zu elements, %zu bytes\n", t.ntensors, elements, bytes);
    for (int k = 0; k < t.nmetadata; k++) {
        kd_put_plain(t.metadata[k].key, stdout);
        fputs(" = \"", stdout);
        kd_put_plain(t.metadata[k].value, stdout);
        fputs("\"\n", stdout);
    }
    kdrt_tensors_free(&t);
    return KD_EXIT_DONE;
}
