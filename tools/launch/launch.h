/* The two ways to spread a verb. */
#ifndef MIXT_TOOLS_LAUNCH_LAUNCH_H
#define MIXT_TOOLS_LAUNCH_LAUNCH_H

#include "tools/launch/hosts.h"
#include "tools/options.h"

struct launch_options {
    const char *hosts, *agent, *mpirun;
    const char *input, *output; /* by lines; both or none */
    int64_t ranks;              /* 0: every slot of the hosts */
    int64_t restarts;           /* failures in a row that are followed by another start */
    double pause_s;             /* before the next start */
};

/* A job: what runs, where. All borrowed. */
struct launch_job {
    const struct launch_options *options;
    struct hosts *hosts;
    const struct words *command; /* the program, the verb and its arguments */
};

/* Runs the command under mpirun until it is done, is wrong in a way that another start does not
 * mend (exit codes 2, 3, 5), was told to stop, or failed too often. Returns the exit code, with
 * everything said on stderr. */
int launch_ranks(const struct launch_job *job);

/* Cuts the input into ranges of lines, hands each to the command's standard input on one of the
 * slots, starts a range again that failed or came back with a wrong number of lines, and writes the
 * output, whole and in order, once all are there. Returns the exit code. */
int launch_lines(const struct launch_job *job);

#endif
