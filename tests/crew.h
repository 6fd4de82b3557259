/* Ranks that are threads of one test: struct comm over shared memory. */
#ifndef MIXT_TESTS_CREW_H
#define MIXT_TESTS_CREW_H

#include "backend/comm/comm.h"

enum { CREW_MAX_RANKS = 8 };

/* Calls work(comm, context) once for every rank, each on a thread of its own, and returns when all
 * have. Work must not fail a test: it has no place to return to. */
void crew_run(int size, void (*work)(struct comm *comm, void *context), void *context);

#endif
