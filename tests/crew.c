/* Ranks as threads. */
#include "tests/crew.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "backend/comm/transport.h"

struct crew {
    int size;
    pthread_barrier_t barrier;
    const void *given[CREW_MAX_RANKS]; /* what each shows the others in a call */
    struct comm_exchange started[CREW_MAX_RANKS][COMM_SLOTS + 1];
};

struct member {
    struct comm comm;
    void (*work)(struct comm *comm, void *context);
    void *context;
};

static enum status crew_barrier(struct comm *comm)
{
    struct crew *crew = comm->context;
    pthread_barrier_wait(&crew->barrier);
    return STATUS_OK;
}

/* From here to the next barrier all see what all gave. */
static struct crew *show(struct comm *comm, const void *given)
{
    struct crew *crew = comm->context;
    crew->given[comm->rank] = given;
    (void)crew_barrier(comm);
    return crew;
}

static enum status crew_broadcast(struct comm *comm, void *data, size_t bytes, int root)
{
    const struct crew *crew = show(comm, data);
    if (comm->rank != root && bytes > 0)
        memcpy(data, crew->given[root], bytes);
    return crew_barrier(comm);
}

static enum status crew_all_gather(struct comm *comm, void *all, const void *one, size_t bytes)
{
    char *own = malloc(bytes + 1);
    CHECK(own, "no memory");
    if (bytes > 0)
        memcpy(own, one, bytes);
    const struct crew *crew = show(comm, own);
    for (int r = 0; r < comm->size && bytes > 0; r++)
        memcpy((char *)all + (size_t)r * bytes, crew->given[r], bytes);
    (void)crew_barrier(comm);
    free(own);
    return STATUS_OK;
}

/* Nothing comes before the exchange is finished, and until then what is to come is no number. */
static enum status crew_start(struct comm *comm, int slot, const struct comm_exchange *exchange)
{
    struct crew *crew = comm->context;
    crew->started[comm->rank][slot] = *exchange;
    for (int r = 0; r < comm->size; r++)
        if (r != comm->rank && exchange->receive[r] > 0)
            memset(exchange->out + exchange->out_at[r], 0xff, (size_t)exchange->receive[r]);
    return STATUS_OK;
}

static enum status crew_poll(struct comm *comm)
{
    (void)comm;
    return STATUS_OK;
}

static enum status crew_finish(struct comm *comm, int slot)
{
    struct crew *crew = comm->context;
    const struct comm_exchange *exchange = &crew->started[comm->rank][slot];
    (void)show(comm, exchange);
    for (int r = 0; r < comm->size; r++) {
        const struct comm_exchange *from = crew->given[r];
        CHECK(exchange->receive[r] == from->send[comm->rank], "%lld bytes sent, %lld wanted",
              (long long)from->send[comm->rank], (long long)exchange->receive[r]);
        if (exchange->receive[r] > 0)
            memmove(exchange->out + exchange->out_at[r], from->in + from->in_at[comm->rank],
                    (size_t)exchange->receive[r]);
    }
    return crew_barrier(comm);
}

static void crew_close(struct comm *comm)
{
    (void)comm;
}

static void crew_abort(struct comm *comm, int exit_code)
{
    (void)comm, (void)exit_code;
}

static void *run_member(void *argument)
{
    struct member *member = argument;
    member->work(&member->comm, member->context);
    comm_close(&member->comm);
    return NULL;
}

void crew_run(int size, void (*work)(struct comm *comm, void *context), void *context)
{
    static const struct comm_ops ops = {
        .name = "crew",
        .close = crew_close,
        .barrier = crew_barrier,
        .broadcast = crew_broadcast,
        .all_gather = crew_all_gather,
        .start = crew_start,
        .poll = crew_poll,
        .finish = crew_finish,
        .abort = crew_abort,
    };
    struct crew crew = {.size = size};
    struct member members[CREW_MAX_RANKS];
    pthread_t threads[CREW_MAX_RANKS];
    CHECK(size >= 1 && size <= CREW_MAX_RANKS, "%d ranks", size);
    CHECK(pthread_barrier_init(&crew.barrier, NULL, (unsigned)size) == 0, "no barrier");
    for (int r = 0; r < size; r++) {
        members[r] = (struct member){.comm = {.ops = &ops,
                                              .context = &crew,
                                              .rank = r,
                                              .size = size,
                                              .node_rank = r,
                                              .node_size = size,
                                              .timeout_s = 60},
                                     .work = work,
                                     .context = context};
        CHECK(pthread_create(&threads[r], NULL, run_member, &members[r]) == 0, "no thread");
    }
    for (int r = 0; r < size; r++)
        pthread_join(threads[r], NULL);
    pthread_barrier_destroy(&crew.barrier);
}
