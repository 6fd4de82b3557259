/* Independent pieces of work spread over threads. */
#ifndef MIXT_BASE_PARALLEL_H
#define MIXT_BASE_PARALLEL_H

#include <stdint.h>

#include "base/status.h"

enum { PARALLEL_MAX_THREADS = 256 };

/* How many cores this process may use (its affinity mask); at least 1. */
int parallel_usable_cores(void);

/* The threads to start for a request: 0 or less means all usable cores; never more than
 * PARALLEL_MAX_THREADS. */
int parallel_threads(int64_t requested);

/* One piece of work; thread is 0..threads-1, for working memory of its own. */
typedef enum status parallel_piece(void *context, int thread, int64_t index);

/* Calls run(context, thread, index) once for each index 0..n-1, ascending, each on the next thread
 * that is free; the caller is one of the threads, and with threads <= 1 the only one. After a
 * failure no further piece is begun, and the failure with the lowest index, of those begun, is
 * returned with its message. */
enum status parallel_for(int threads, int64_t n, parallel_piece *run, void *context) STATUS_CHECKED;

#endif
