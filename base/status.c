/* Status messages, one a thread, and the CHECK that aborts. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { MESSAGE_BYTES = 2048 };

static _Thread_local char message[MESSAGE_BYTES];
static _Thread_local char hint[MESSAGE_BYTES];

/* The format may name the old message ("%s", status_message()), so it is built aside. */
static void build(char *target, const char *format, va_list arguments)
{
    char text[MESSAGE_BYTES];
    vsnprintf(text, sizeof text, format, arguments);
    snprintf(target, MESSAGE_BYTES, "%s", text);
}

enum status status_set(enum status code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    build(message, format, arguments);
    va_end(arguments);
    hint[0] = '\0';
    return code;
}

void status_hint(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    build(hint, format, arguments);
    va_end(arguments);
}

const char *status_message(void)
{
    return message;
}

const char *status_hint_text(void)
{
    return hint;
}

int status_exit_code(enum status code)
{
    switch (code) {
    case STATUS_OK:
        return 0;
    case STATUS_USAGE:
    case STATUS_CONFIG:
        return 2;
    case STATUS_DATA:
    case STATUS_FORMAT:
        return 3;
    case STATUS_MEMORY:
        return 4;
    case STATUS_DIVERGED:
        return 5;
    case STATUS_FAILED:
    case STATUS_IO:
    case STATUS_DEVICE:
    case STATUS_INTERRUPTED:
        return 1;
    }
    return 1;
}

void status_print(void)
{
    fprintf(stderr, "mixt: %s\n", message[0] ? message : "failed without a message");
    if (hint[0])
        fprintf(stderr, "hint: %s\n", hint);
}

int status_finish(enum status code)
{
    if (code < 0)
        status_print();
    return status_exit_code(code);
}

void check_failed(const char *file, int line, const char *condition, const char *format, ...)
{
    fprintf(stderr, "mixt: %s:%d: CHECK(%s) failed: ", file, line, condition);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}
