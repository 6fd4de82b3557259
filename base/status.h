/* What a call returns when the world outside the program can fail it.
 *
 * Bugs are CHECKs and abort. Files, memory and user input are `enum status`: the function saves one
 * message with status_set() and returns the code; the caller passes the code on, and only a tool
 * prints the message and turns the code into an exit code. Device faults are sticky, see
 * backend/backend.h. */
#ifndef MIXT_BASE_STATUS_H
#define MIXT_BASE_STATUS_H

#include <stdbool.h>

enum status {
    STATUS_OK = 0,
    STATUS_FAILED = -1,      /* an operation failed for a reason that fits nothing below */
    STATUS_IO = -2,          /* a file cannot be opened, read or written */
    STATUS_USAGE = -3,       /* a wrong command line */
    STATUS_CONFIG = -4,      /* a wrong configuration */
    STATUS_DATA = -5,        /* input data that contradicts itself, as unequal line counts */
    STATUS_FORMAT = -6,      /* a damaged or foreign file */
    STATUS_MEMORY = -7,      /* no memory */
    STATUS_DEVICE = -8,      /* a device or one of its libraries failed */
    STATUS_DIVERGED = -9,    /* a loss or gradient is not finite */
    STATUS_INTERRUPTED = -10 /* a signal asked to stop */
};

#define STATUS_CHECKED __attribute__((warn_unused_result))

/* Saves "what: why" (printf format) as this thread's message, forgets an older hint, and returns
 * code. The message is one line, without the program's name and without a final newline. */
enum status status_set(enum status code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Adds what the user can do about it; shown on a line of its own, after "hint: ". */
void status_hint(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* This thread's last message and hint; "" where there is none. Valid until the next status_set().
 * */
const char *status_message(void);
const char *status_hint_text(void);

/* The program's exit code: 0 done, 1 failed, 2 usage or configuration, 3 input data, 4 memory,
 * 5 diverged. */
int status_exit_code(enum status code);

/* Writes "mixt: message" and, where there is one, "hint: ..." to stderr. */
void status_print(void);

/* The end of a verb: prints the message where code is a failure, and returns the exit code. */
int status_finish(enum status code);

/* Aborts with file, line, condition and message when a caller broke a contract. Always on. */
#define CHECK(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            check_failed(__FILE__, __LINE__, #condition, __VA_ARGS__);                             \
    } while (0)

void check_failed(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((noreturn, format(printf, 4, 5)));

#endif
