/* Writes the weights that are part of net.h's object, as its init_shipped has them, to argv[1]. */
#include "net.h"

#include <stdio.h>

int main(int argc, char **argv) {
    static unsigned char bytes[MY_NET_SAVED_BYTES];
    void *state = kdrt_alloc(MY_NET_STATE_BYTES);
    FILE *out = argc == 2 ? fopen(argv[1], "wb") : NULL;
    int good = out && my_net_init_shipped(state, 1) == MY_NET_OK &&
               my_net_save(state, bytes) == MY_NET_OK && fwrite(bytes, sizeof bytes, 1, out) == 1 &&
               fclose(out) == 0;
    kdrt_free(state);
    return !good;
}
