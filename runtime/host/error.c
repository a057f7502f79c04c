/* The one place that formats errors of libkdrt_host. */
#include "runtime/host/internal.h"

#include <stdarg.h>
#include <stdio.h>

bool kdrt_fail(KdrtError *error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return false;
}
