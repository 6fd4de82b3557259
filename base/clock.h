/* Time that never runs backwards, and what the process has used. */
#ifndef MIXT_BASE_CLOCK_H
#define MIXT_BASE_CLOCK_H

#include <stdint.h>

/* Seconds since some fixed moment (CLOCK_MONOTONIC). */
double clock_seconds(void);

/* Seconds of processor time, user and system, of the whole process. */
double clock_cpu_seconds(void);

/* Largest resident memory of the process so far, in bytes. */
int64_t clock_peak_bytes(void);

#endif
