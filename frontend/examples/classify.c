/*
 * Classifies images by a network that `kdc FILE.lua --emit=lib --weights …` left behind; kdc builds
 * this very program for --emit=exe. By hand, for a network "student":
 *
 *     cc -O2 -include student.h -DNET_PREDICT=student_predict -DNET_PREFIX=STUDENT_ \
 *         classify.c student.a -o classify
 *     ./classify shoe.pgm shirt.pgm
 *
 * Images are binary PGM (P5), or PPM (P6) for three channels, of exactly the network's size; bright
 * is where the data set is bright. A line per image: its name, the class, the logit.
 */
#include <stdio.h>
#include <stdlib.h>

#define JOIN_NAMES(a, b) a##b
#define JOIN(a, b)       JOIN_NAMES(a, b)
#define NET(name)        JOIN(NET_PREFIX, name)

#if NET(NORMALIZE) == 2
#error "this network's header leaves it to the caller to normalise images"
#endif

static const int shape[] = { NET(INPUT_SHAPE) }; /* channels, rows, columns */
static const char *const names[] = { NET(CLASS_NAMES) };

/* The next number of an image's header, behind spaces and comments; -1 where there is none. */
static int read_number(FILE *in) {
    int c = fgetc(in), n = 0;
    while (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '#') {
        while (c == '#' && (c = fgetc(in)) != '\n' && c != EOF) c = '#';
        c = fgetc(in);
    }
    if (c < '0' || c > '9') return -1;
    for (; c >= '0' && c <= '9' && n < 1000000; c = fgetc(in)) n = 10 * n + (c - '0');
    return n; /* the character behind it is the one space that ends a header */
}

/* Rows of pixels, channels together, to planes of a channel each, scaled as in training; the
 * network normalises them itself. */
static int read_image(FILE *in, float *x) {
    int kind = fgetc(in) == 'P' ? fgetc(in) : 0;
    int channels = kind == '5' ? 1 : kind == '6' ? 3 : 0;
    int columns = read_number(in), rows = read_number(in), most = read_number(in);
    if (sizeof shape / sizeof *shape != 3 || channels != shape[0] || rows != shape[1] ||
        columns != shape[2] || most != 255)
        return 0;
    for (int k = 0; k < rows * columns * channels; k++) {
        int byte = fgetc(in);
        if (byte == EOF) return 0;
        x[k % channels * rows * columns + k / channels] = (float)byte * NET(INPUT_SCALE);
    }
    return 1;
}

static int classify(const char *path, void *scratch) {
    static float x[NET(INPUTS)], logits[NET(CLASSES)];
    FILE *in = fopen(path, "rb");
    int good = in && read_image(in, x);
    if (in) fclose(in);
    if (!good) {
        fprintf(stderr, "%s: %s\n", path, in ? "no image of the network's size" : "cannot be read");
        return 1;
    }
    int code = NET_PREDICT(x, 1, logits, NULL, scratch);
    if (code == NET(UNSUPPORTED_CPU)) fputs("this CPU lacks what the network needs\n", stderr);
    if (code != NET(OK)) return 1;
    int best = 0;
    for (int k = 1; k < NET(CLASSES); k++) best = logits[k] > logits[best] ? k : best;
    if (names[0])
        printf("%s: %s (%.3f)\n", path, names[best], logits[best]);
    else
        printf("%s: %d (%.3f)\n", path, best, logits[best]);
    return 0;
}

int main(int argc, char **argv) {
    static unsigned char memory[NET(SCRATCH_BYTES) + NET(ALIGN)];
    size_t past = (size_t)memory % NET(ALIGN);
    void *scratch = memory + (past ? NET(ALIGN) - past : 0);
    int failed = argc < 2;
    if (failed) fprintf(stderr, "usage: %s IMAGE.pgm...\n", argv[0]);
    for (int k = 1; k < argc; k++) failed |= classify(argv[k], scratch);
    return failed;
}
