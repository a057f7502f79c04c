/*
 * How libkdrt_host says what is wrong: one line of text that names the file, what was expected and
 * what was found. Readers return false and fill it; nobody here prints.
 */
#ifndef KDRT_HOST_ERROR_H
#define KDRT_HOST_ERROR_H

typedef struct KdrtError {
    char text[512];
} KdrtError;

#endif
