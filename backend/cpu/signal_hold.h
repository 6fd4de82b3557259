/* Signals wait while oneDNN computes.
 *
 * Its general products of f32 for AVX2 and AVX-512, in 2.6 at least, let the stack pointer point
 * into working memory on the heap. A signal's handler that ran there, ours or that of a program
 * that uses the library, would write over what lies below. */
#ifndef MIXT_BACKEND_CPU_SIGNAL_HOLD_H
#define MIXT_BACKEND_CPU_SIGNAL_HOLD_H

#include <signal.h>

/* From here on no handler runs on this thread, but for the thread's own faults, until
 * signal_release() sets *before again. The other threads of its OpenMP team, n_threads in all, hold
 * signals for good. What comes meanwhile waits, or goes to a thread of the caller's. */
void signal_hold(sigset_t *before, int n_threads);
void signal_release(const sigset_t *before);

#endif
