/* Threads' masks of signals. */
#include "backend/cpu/signal_hold.h"

#include <omp.h>
#include <stddef.h>

static void hold(sigset_t *before)
{
    static const int faults[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP};
    sigset_t held;
    (void)sigfillset(&held);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        (void)sigdelset(&held, faults[i]);
    (void)pthread_sigmask(SIG_BLOCK, &held, before);
}

/* OpenMP ends threads that a smaller team does without, and starts new ones, so the team is asked
 * each time; what it starts from here on takes over this thread's mask. */
void signal_hold(sigset_t *before, int n_threads)
{
    hold(before);
    if (n_threads == 1)
        return;
#pragma omp parallel num_threads(n_threads)
    if (omp_get_thread_num() > 0)
        hold(NULL);
}

void signal_release(const sigset_t *before)
{
    (void)pthread_sigmask(SIG_SETMASK, before, NULL);
}
