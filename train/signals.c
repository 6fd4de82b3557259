/* Signal handlers that only set flags. */
#include "train/signals.h"

#include <signal.h>
#include <string.h>

static volatile sig_atomic_t stop_signal;
static volatile sig_atomic_t wants_save;

static void on_signal(int number)
{
    if (number == SIGUSR1)
        wants_save = 1;
    else
        stop_signal = number;
}

void signals_watch(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigaction(SIGUSR1, &action, NULL);
    action.sa_flags = (int)SA_RESETHAND;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int signals_stop(void)
{
    return stop_signal;
}

bool signals_take_save(void)
{
    const bool asked = wants_save != 0;
    wants_save = 0;
    return asked;
}
