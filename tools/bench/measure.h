/* What the verbs of mixt bench share: their command line, the shape, the clock, the report.
 *
 * A verb opens a session, calls session_wants() and session_time() for each of its measurements,
 * adds a row with session_add(), and closes with session_finish(), which prints all rows. */
#ifndef MIXT_TOOLS_BENCH_MEASURE_H
#define MIXT_TOOLS_BENCH_MEASURE_H

#include "model/config.h"
#include "tools/bench/peak.h"
#include "tools/options.h"

enum { ROW_NAME_BYTES = 48, ROW_EXTRAS = 2, SESSION_MAX_ROWS = 128, SESSION_MAX_TIMES = 1 << 14 };

struct bench_options {
    const char *shape, *compute, *device, *only;
    int64_t threads, sentences, length, experts;
    double seconds;
    bool wants_json;
};

/* What a rate counts, and so what it is a fraction of. */
enum row_unit { ROW_FLOPS, ROW_BYTES, ROW_TOKENS, ROW_SENTENCES };

struct row {
    char name[ROW_NAME_BYTES];
    double seconds; /* of a call: the median */
    int64_t calls;
    enum row_unit unit;
    double amount;      /* of the unit, a call */
    double fraction;    /* of the machine's peak; 0: unknown. session_add() fills those of flops and
                        bytes */
    int64_t peak_bytes; /* of the process so far; session_add() fills it */
    struct {
        const char *name; /* NULL: none */
        double value;
    } extra[ROW_EXTRAS];
};

struct session {
    const char *verb;
    const struct bench_options *options;
    struct config *config; /* owned: of the shape and the settings behind the options */
    int64_t sentences, length;
    struct backend backend;
    struct arena arena; /* of the backend */
    struct arena host;
    struct peak peak;
    struct row rows[SESSION_MAX_ROWS];
    int64_t n_rows;
    double *times; /* owned [SESSION_MAX_TIMES] */
    double start_s;
};

/* Parses a verb's command line and opens its session. Returns the exit code to leave with, or -1
 * where the verb is to go on; then session_finish() is due. */
int session_start(struct session *session, struct bench_options *options, const char *verb,
                  const char *description, int argc, char **argv);

/* Prints the rows, or the error of status, and frees everything; returns the exit code. */
int session_finish(struct session *session, enum status status);

/* Whether --only leaves a measurement of this name in. */
bool session_wants(const struct session *session, const char *name);

/* A piece of work to time. Prepare, which may be NULL, runs before each call and is not timed. */
struct work {
    void (*prepare)(void *context);
    void (*run)(void *context);
    void *context;
};

/* Median seconds of a call: once to warm up, then for options.seconds, and three times at least. */
double session_time(struct session *session, struct work work, int64_t *calls);

/* The median of values [n], which it sorts. */
double median_of(double *values, int64_t n);

/* The peak of products of the session's compute type, operations a second. */
double session_peak_flops(const struct session *session);

/* Adds a row; unit, amount and the rest as the caller says. */
void session_add(struct session *session, struct row row);

/* Times and adds: amount of the unit a call. */
void session_row(struct session *session, const char *name, enum row_unit unit, double amount,
                 struct work work);

/* Fresh real numbers in -0.5 .. 0.5, and ids below `bound`, in the session's arena. */
struct tensor session_random(struct session *session, int64_t d0, int64_t d1);
struct tensor session_ids(struct session *session, int64_t count, int64_t bound);

#endif
