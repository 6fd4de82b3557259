/* A verb on many ranks, under mpirun. */
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "tools/launch/launch.h"
#include "tools/launch/relay.h"

/* A run this long is not a failure that repeats at once: the count begins anew. */
static const double STEADY_S = 600;
/* Between two looks at what the ranks say. */
static const double LOOK_S = 0.05;
/* How long mpirun may take to end when ranks were lost. */
static const double LOST_S = 30;

/* Which mpirun it is: hosts are named in another way to each. */
static enum status is_open_mpi(const char *mpirun, bool *is_open)
{
    struct buffer command = {0};
    char line[256] = "";
    enum status status = buffer_printf(&command, "%s --version 2>/dev/null", mpirun);
    FILE *answer = status < 0 ? NULL : popen(command.data, "r");
    buffer_free(&command);
    if (answer) {
        (void)!fgets(line, sizeof line, answer);
        pclose(answer);
    }
    *is_open = strstr(line, "Open MPI") || strstr(line, "OpenRTE");
    if (status < 0 || *is_open || strstr(line, "HYDRA") || strstr(line, "MPICH"))
        return status;
    status = status_set(STATUS_FAILED, "'%s --version' is neither Open MPI's nor MPICH's", mpirun);
    status_hint("install one of the two, or name it with --mpirun");
    return status;
}

static void add_hosts(struct words *line, const struct hosts *hosts, bool is_open)
{
    struct buffer list = {0};
    for (size_t i = 0; i < hosts->count; i++) {
        const struct host *host = &hosts->items[i];
        if (host->is_there && buffer_printf(&list, "%s%s:%" PRId64, list.size ? "," : "",
                                            host->name, host->slots) < 0)
            line->error = STATUS_MEMORY;
    }
    words_add(line, is_open ? "--host" : "-hosts");
    words_add(line, list.data ? list.data : "");
    buffer_free(&list);
    if (is_open)
        words_add_cut(line, "--mca plm_rsh_agent");
    else
        words_add_cut(line, "-launcher ssh -launcher-exec");
    words_add(line, hosts->agent);
}

/* mpirun's command line for so many ranks. */
static enum status write_line(struct words *line, const struct launch_job *job, int64_t n_ranks)
{
    char number[32];
    snprintf(number, sizeof number, "%" PRId64, n_ranks);
    words_add_cut(line, job->options->mpirun);
    words_add(line, "-n");
    words_add(line, number);
    if (job->hosts->count > 0) {
        bool is_open;
        const enum status status = is_open_mpi(job->options->mpirun, &is_open);
        if (status < 0)
            return status;
        add_hosts(line, job->hosts, is_open);
    }
    for (size_t i = 0; i < job->command->count; i++)
        words_add(line, job->command->items[i]);
    return line->error;
}

/* Ranks for the next start: those wanted, or as many as there is room for. */
static enum status count_ranks(const struct launch_job *job, int64_t *n_ranks, int *signal)
{
    *n_ranks = job->options->ranks;
    if (job->hosts->count == 0)
        return STATUS_OK;
    const enum status status = hosts_ask(job->hosts, signal);
    const int64_t slots = hosts_slots(job->hosts);
    if (status < 0)
        return status;
    if (*n_ranks == 0 || *n_ranks > slots)
        *n_ranks = slots;
    return STATUS_OK;
}

/* The first rank's last words in a training that ended well (tools/train.c). */
static const char GOOD_END[] = "mixt: train; ";
/* What a rank says that waited for others in vain (backend/comm/mpi.c). */
static const char LOST_RANK[] = "did not end within ";

/* Whether the command is a training, not a question about it. */
static bool is_training(const struct words *command)
{
    bool is = command->count > 1 && strcmp(command->items[1], "train") == 0;
    for (size_t i = 2; i < command->count; i++)
        is = is && (command->items[i][0] != '-' || command->items[i][1] == 'c' ||
                    strncmp(command->items[i], "--c", 3) == 0);
    return is;
}

/* Waits for mpirun, passing signals to it and words from it. An mpirun that has lost a host's link
 * may wait for it without end; its ranks end by themselves. */
static void wait_for_end(pid_t pid, struct relay *relay, int *code, int *signal)
{
    double lost_at = 0;
    while (pid) {
        const struct ended ended = process_wait(LOOK_S);
        if (ended.signal) {
            *signal = ended.signal;
            process_signal(pid, ended.signal);
        }
        if (ended.pid == pid) {
            *code = ended.code;
            pid = 0;
        }
        relay_pass(relay);
        if (relay->lost_rank.has_come && lost_at == 0)
            lost_at = clock_seconds();
        if (pid && lost_at > 0 && clock_seconds() > lost_at + LOST_S) {
            fprintf(stderr, "launch: mpirun goes on %g s after ranks were lost; ending it\n",
                    LOST_S);
            process_signal(pid, SIGKILL);
            lost_at = INFINITY;
        }
    }
}

/* Runs once; *code is the exit code, *signal what asked to stop, which is passed on. */
static enum status run_once(const struct launch_job *job, int *code, int *signal)
{
    struct words line = {0};
    struct relay relay = {0};
    int64_t n_ranks;
    pid_t pid = 0;
    enum status status = count_ranks(job, &n_ranks, signal);
    if (status >= 0)
        status = write_line(&line, job, n_ranks);
    if (status >= 0)
        status = relay_open(&relay, GOOD_END, LOST_RANK);
    if (status >= 0)
        fprintf(stderr, "launch: starting %" PRId64 " ranks\n", n_ranks);
    /* A group of its own may not read the terminal. */
    const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (status >= 0)
        status = process_start(&pid, &line, null, -1, relay.to);
    close(null);
    words_free(&line);
    relay_let_go(&relay);
    if (status >= 0)
        wait_for_end(pid, &relay, code, signal);
    /* Where a rank leaves without a word MPICH's mpirun ends the others, and returns its 0. */
    if (status >= 0 && *code == 0 && !*signal && is_training(job->command) &&
        !relay.good_end.has_come) {
        fprintf(stderr, "launch: the training did not come to its end\n");
        *code = 1;
    }
    relay_close(&relay);
    return status;
}

/* Whether another start could end better. */
static bool may_recover(int code)
{
    return code != 0 && code != 2 && code != 3 && code != 5;
}

/* Open MPI gives ranks that are told to stop a second to save; here they get as long as they may
 * need unless the user says otherwise. */
static void give_time_to_save(void)
{
    (void)setenv("OMPI_MCA_odls_base_sigkill_timeout", "60", 0);
}

int launch_ranks(const struct launch_job *job)
{
    int64_t failures = 0;
    give_time_to_save();
    for (;;) {
        const double start = clock_seconds();
        int code = 0, signal = 0;
        const enum status status = run_once(job, &code, &signal);
        if (status < 0 && !signal) {
            status_print();
            code = status_exit_code(status);
        }
        if (signal)
            return 128 + signal;
        if (!may_recover(code))
            return code;
        const double seconds = clock_seconds() - start;
        failures = seconds >= STEADY_S ? 1 : failures + 1;
        if (failures > job->options->restarts) {
            (void)status_set(STATUS_FAILED,
                             "exit code %d after %.0f s: %" PRId64 " failures in a row", code,
                             seconds, failures);
            status_print();
            return code;
        }
        fprintf(stderr,
                "launch: exit code %d after %.0f s; starting again in %g s (failure %" PRId64
                " of at most %" PRId64 ")\n",
                code, seconds, job->options->pause_s, failures, job->options->restarts);
        const struct ended ended = process_wait(job->options->pause_s);
        if (ended.signal)
            return 128 + ended.signal;
    }
}
