/* Other programs: command lines, starting, waiting, and the signals that ask to stop. */
#ifndef MIXT_TOOLS_LAUNCH_PROCESS_H
#define MIXT_TOOLS_LAUNCH_PROCESS_H

#include <stddef.h>
#include <sys/types.h>

#include "base/status.h"

/* A command line that grows; all owned. A zeroed one is empty. */
struct words {
    char **items; /* [count], and a NULL behind them */
    size_t count;
    enum status error; /* sticky: STATUS_MEMORY */
};

void words_add(struct words *words, const char *word);

/* Adds the parts of text that spaces cut. */
void words_add_cut(struct words *words, const char *text);

/* Adds one word: what a shell reads as these words, in `folder`. */
void words_add_quoted(struct words *words, const char *folder, const struct words *command);
void words_free(struct words *words);

/* What wait brought. */
struct ended {
    pid_t pid;  /* 0: none ended */
    int code;   /* exit code; 128 + its number after a signal, as shells say it */
    int signal; /* that asked this process to stop meanwhile, or 0 */
};

/* Before anything is started: SIGINT and SIGTERM are kept for process_wait(). */
void process_prepare(void);

/* Starts a program (looked for in PATH) in a process group of its own. in, out, err: descriptors
 * for its standard streams; -1: this process's own. STATUS_FAILED, STATUS_MEMORY. */
enum status process_start(pid_t *pid, const struct words *command, int in, int out,
                          int err) STATUS_CHECKED;

/* Waits until a process ended, a signal asked to stop, or seconds are over; 0: not at all,
 * negative: without end. */
struct ended process_wait(double seconds);

/* Sends a signal to the process's whole group. */
void process_signal(pid_t pid, int number);

#endif
