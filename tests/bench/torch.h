/* PyTorch as a contestant: a Python process that is asked over pipes to train for a while. */
#ifndef KD_TESTS_TORCH_H
#define KD_TESTS_TORCH_H

typedef struct Torch Torch;

/* Starts the script by $KD_PYTHON, build/venv/bin/python or python3, the first that can import
 * torch. NULL when none can. */
Torch *torch_start(const char *script);
const char *torch_version(const Torch *t);

/* Milliseconds per step of that network over about so many seconds; negative when it failed. */
double torch_time(Torch *t, const char *network, int threads, double seconds);
void torch_stop(Torch *t); /* NULL is fine */

#endif
