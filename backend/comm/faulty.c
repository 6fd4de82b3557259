/* A transport before another that fails as networks and machines do, for tests alone.
 *
 * MIXT_COMM_FAULT=KIND:CALL[:RANK] lets the CALLth call of the transport (from 1 on; barriers,
 * broadcasts, gatherings and exchanges, as they are started) go wrong on one rank, by default the
 * last. The tensor calls of a GPU's own transport are not counted. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backend/comm/transport.h"

enum fault {
    FAULT_NONE,
    FAULT_DELAY,   /* half the timeout late: nothing may come of it */
    FAULT_HANG,    /* never comes to the call */
    FAULT_STOP,    /* SIGSTOP */
    FAULT_KILL,    /* SIGKILL */
    FAULT_EXIT,    /* ends as if all were done, with exit code 0 */
    FAULT_DROP,    /* goes on as if it had called */
    FAULT_CORRUPT, /* a bit of what it is sent is turned */
    N_FAULTS
};

static const char *const names[N_FAULTS] = {"",     "delay", "hang", "stop",
                                            "kill", "exit",  "drop", "corrupt"};

struct faulty {
    const struct comm_ops *ops; /* of the transport behind */
    void *context;              /* its own */
    enum fault fault;
    long long call; /* which; from 1 on */
    long long calls;
    struct {
        enum fault fault;
        struct comm_exchange exchange;
    } slots[COMM_SLOTS + 1]; /* what befell those that are under way */
};

static void pause_for(double seconds)
{
    const struct timespec pause = {.tv_sec = (time_t)seconds,
                                   .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    (void)nanosleep(&pause, NULL);
}

/* Counts the call; what befalls the process does so here, and the rest is the caller's. */
static enum fault strike(const struct comm *comm)
{
    struct faulty *faulty = comm->context;
    if (++faulty->calls != faulty->call)
        return FAULT_NONE;
    if (faulty->fault == FAULT_DELAY)
        pause_for(comm->timeout_s / 2);
    while (faulty->fault == FAULT_HANG)
        (void)pause();
    if (faulty->fault == FAULT_STOP)
        (void)raise(SIGSTOP);
    if (faulty->fault == FAULT_KILL)
        (void)raise(SIGKILL);
    if (faulty->fault == FAULT_EXIT)
        _exit(0);
    return faulty->fault;
}

/* The transport behind finds its context where it looks for it. */
static struct faulty *step_aside(struct comm *comm)
{
    struct faulty *faulty = comm->context;
    comm->context = faulty->context;
    return faulty;
}

static void spoil(void *data, int64_t bytes)
{
    if (bytes > 0)
        ((char *)data)[bytes / 2] ^= 0x10;
}

static enum status faulty_barrier(struct comm *comm)
{
    if (strike(comm) == FAULT_DROP)
        return STATUS_OK;
    struct faulty *faulty = step_aside(comm);
    const enum status status = faulty->ops->barrier(comm);
    comm->context = faulty;
    return status;
}

static enum status faulty_broadcast(struct comm *comm, void *data, size_t bytes, int root)
{
    const enum fault fault = strike(comm);
    if (fault == FAULT_DROP)
        return STATUS_OK;
    struct faulty *faulty = step_aside(comm);
    const enum status status = faulty->ops->broadcast(comm, data, bytes, root);
    comm->context = faulty;
    if (fault == FAULT_CORRUPT)
        spoil(data, (int64_t)bytes);
    return status;
}

static enum status faulty_all_gather(struct comm *comm, void *all, const void *one, size_t bytes)
{
    const enum fault fault = strike(comm);
    if (fault == FAULT_DROP)
        return STATUS_OK;
    struct faulty *faulty = step_aside(comm);
    const enum status status = faulty->ops->all_gather(comm, all, one, bytes);
    comm->context = faulty;
    if (fault == FAULT_CORRUPT)
        spoil(all, (int64_t)bytes * comm->size);
    return status;
}

static enum status faulty_start(struct comm *comm, int slot, const struct comm_exchange *exchange)
{
    const enum fault fault = strike(comm);
    struct faulty *faulty = step_aside(comm);
    faulty->slots[slot].fault = fault;
    faulty->slots[slot].exchange = *exchange;
    const enum status status =
        fault == FAULT_DROP ? STATUS_OK : faulty->ops->start(comm, slot, exchange);
    comm->context = faulty;
    return status;
}

static enum status faulty_poll(struct comm *comm)
{
    struct faulty *faulty = step_aside(comm);
    const enum status status = faulty->ops->poll(comm);
    comm->context = faulty;
    return status;
}

static enum status faulty_finish(struct comm *comm, int slot)
{
    struct faulty *faulty = step_aside(comm);
    const enum fault fault = faulty->slots[slot].fault;
    const struct comm_exchange *exchange = &faulty->slots[slot].exchange;
    const enum status status = fault == FAULT_DROP ? STATUS_OK : faulty->ops->finish(comm, slot);
    comm->context = faulty;
    for (int r = 0; r < comm->size && fault == FAULT_CORRUPT; r++)
        spoil(exchange->out + exchange->out_at[r], exchange->receive[r]);
    return status;
}

static void faulty_close(struct comm *comm)
{
    struct faulty *faulty = step_aside(comm);
    faulty->ops->close(comm);
    free(faulty);
}

static void faulty_abort(struct comm *comm, int exit_code)
{
    const struct faulty *faulty = step_aside(comm);
    faulty->ops->abort(comm, exit_code);
}

static bool read_fault(const struct comm *comm, const char *text, struct faulty *faulty)
{
    char kind[16] = "";
    int rank = comm->size - 1, used = 0;
    if (sscanf(text, "%15[a-z]:%lld%n", kind, &faulty->call, &used) != 2)
        return false;
    if (text[used] == ':' && sscanf(text + used, ":%d", &rank) != 1)
        return false;
    for (int i = 1; i < N_FAULTS; i++)
        if (strcmp(kind, names[i]) == 0)
            faulty->fault = (enum fault)i;
    const bool is_known = faulty->fault != FAULT_NONE;
    if (rank != comm->rank)
        faulty->fault = FAULT_NONE;
    return is_known;
}

enum status comm_make_faulty(struct comm *comm, const char *text)
{
    static const struct comm_ops ops = {
        .name = "faulty",
        .close = faulty_close,
        .barrier = faulty_barrier,
        .broadcast = faulty_broadcast,
        .all_gather = faulty_all_gather,
        .start = faulty_start,
        .poll = faulty_poll,
        .finish = faulty_finish,
        .abort = faulty_abort,
    };
    struct faulty *faulty = calloc(1, sizeof *faulty);
    if (!faulty)
        return status_set(STATUS_MEMORY, "no memory for a faulty transport");
    if (!read_fault(comm, text, faulty)) {
        free(faulty);
        return status_set(STATUS_CONFIG, "MIXT_COMM_FAULT=%s is not KIND:CALL[:RANK]", text);
    }
    faulty->ops = comm->ops;
    faulty->context = comm->context;
    comm->ops = &ops;
    comm->context = faulty;
    return STATUS_OK;
}
