/* What a shipped network returns on this CPU for one sample. */
#include "net.h"

#include <stdio.h>
#include <stdlib.h>

int main(void) {
    static float x[MY_NET_INPUTS], logits[MY_NET_CLASSES];
    size_t bytes = (MY_NET_SCRATCH_BYTES + MY_NET_ALIGN - 1) / MY_NET_ALIGN * MY_NET_ALIGN;
    void *scratch = aligned_alloc(MY_NET_ALIGN, bytes);
    int code = my_net_predict(x, 1, logits, NULL, scratch);
    puts(code == MY_NET_OK                ? "ok"
         : code == MY_NET_UNSUPPORTED_CPU ? "unsupported"
                                          : "something else");
    free(scratch);
    return 0;
}
