/* Whether a shipped network runs on this CPU, by its header. */
#include "net.h"

#include <stdio.h>
#include <sys/auxv.h>

int main(void) {
    puts(MY_NET_RUNS_ON(getauxval(AT_HWCAP), getauxval(AT_HWCAP2)) ? "runs" : "lacks something");
    return 0;
}
