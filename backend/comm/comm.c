/* Opening, closing, and the calls that control a job. */
#include "backend/comm/comm.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/comm/parts.h"
#include "base/clock.h"

/* -- opening and closing -- */

static enum status open_transport(struct comm *comm, const char *transport)
{
    const char *launcher = comm_launcher();
    const bool is_auto = strcmp(transport, "auto") == 0;
    if (strcmp(transport, "self") == 0 || (is_auto && !launcher)) {
        comm_open_self(comm);
        return STATUS_OK;
    }
    if (is_auto || strcmp(transport, "mpi") == 0) {
        if (launcher)
            return comm_open_mpi(comm, launcher);
        (void)status_set(STATUS_CONFIG, "the transport mpi: mpirun or srun did not start this");
        status_hint("run it as: mpirun -n RANKS mixt ...");
        return STATUS_CONFIG;
    }
    if (strcmp(transport, "openmpi") == 0 || strcmp(transport, "mpich") == 0)
        return comm_open_mpi(comm, transport);
    return status_set(STATUS_CONFIG,
                      "no transport '%s'; there are auto, self, mpi, openmpi and mpich", transport);
}

enum status comm_open(struct comm *comm, const char *transport, double timeout_s)
{
    CHECK(timeout_s > 0, "a timeout of %g s", timeout_s);
    *comm = (struct comm){.timeout_s = timeout_s, .step = -1, .operation = "start"};
    if (gethostname(comm->host, sizeof comm->host - 1) != 0)
        snprintf(comm->host, sizeof comm->host, "unknown");
    const char *fault = getenv("MIXT_COMM_FAULT");
    enum status status = open_transport(comm, transport);
    if (status >= 0 && fault)
        status = comm_make_faulty(comm, fault);
    if (status >= 0)
        status = stages_choose(comm);
    if (status < 0)
        *comm = (struct comm){0};
    return status;
}

void comm_close(struct comm *comm)
{
    if (comm->device_context)
        comm->device->close(comm);
    if (comm->ops)
        comm->ops->close(comm);
    for (int i = 0; i < COMM_ROOMS; i++)
        free(comm->rooms[i].memory);
    *comm = (struct comm){0};
}

/* Should one of the libraries hang in its own abort, the alarm ends this rank, which the launcher
 * takes as the job's failure likewise. */
static void limit_abort(void)
{
    enum { LIMIT_S = 10 };
    sigset_t alarms;
    (void)sigemptyset(&alarms);
    (void)sigaddset(&alarms, SIGALRM);
    (void)signal(SIGALRM, SIG_DFL);
    (void)pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
    (void)alarm(LIMIT_S);
}

void comm_abort(struct comm *comm, int exit_code)
{
    limit_abort();
    (void)fflush(NULL);
    if (comm->device_context)
        comm->device->abort(comm);
    comm->ops->abort(comm, exit_code);
    _exit(exit_code);
}

/* -- what all calls share -- */

enum status comm_begin_beside(struct comm *comm, const char *operation)
{
    if (comm->error < 0)
        return status_set(comm->error, "%s", comm->message);
    comm->operation = operation;
    return STATUS_OK;
}

enum status comm_begin(struct comm *comm, const char *operation)
{
    CHECK(comm->error < 0 || !comm->under_way, "%s while slots %x are under way", operation,
          comm->under_way);
    return comm_begin_beside(comm, operation);
}

enum status comm_end(struct comm *comm, enum status status)
{
    if (status >= 0)
        return status;
    comm->error = status;
    return status_set(status, "%s", comm->message);
}

enum status comm_exchange_now(struct comm *comm, const struct comm_exchange *exchange)
{
    enum { SLOT = COMM_SLOTS }; /* callers' are below */
    const enum status status = comm_end(comm, comm->ops->start(comm, SLOT, exchange));
    return status < 0 ? status : comm_end(comm, comm->ops->finish(comm, SLOT));
}

enum status comm_take_room(struct comm *comm, int room, size_t size_bytes, void **memory)
{
    struct comm_room *taken = &comm->rooms[room];
    if (taken->size_bytes < size_bytes || !taken->memory) {
        free(taken->memory);
        *taken = (struct comm_room){.memory = malloc(size_bytes > 0 ? size_bytes : 1)};
        if (!taken->memory)
            return status_set(STATUS_MEMORY, "no memory for %zu bytes of %s", size_bytes,
                              comm->operation);
        taken->size_bytes = size_bytes;
    }
    *memory = taken->memory;
    return STATUS_OK;
}

/* -- control -- */

enum status comm_barrier(struct comm *comm)
{
    const enum status status = comm_begin(comm, "barrier");
    return status < 0 ? status : comm_end(comm, comm->ops->barrier(comm));
}

static enum status broadcast(struct comm *comm, void *data, size_t bytes, int root)
{
    return comm_end(comm, comm->ops->broadcast(comm, data, bytes, root));
}

static enum status all_gather(struct comm *comm, void *all, const void *one, size_t bytes)
{
    return comm_end(comm, comm->ops->all_gather(comm, all, one, bytes));
}

enum status comm_broadcast(struct comm *comm, void *data, size_t bytes, int root)
{
    CHECK(root >= 0 && root < comm->size, "root %d of %d ranks", root, comm->size);
    const enum status status = comm_begin(comm, "broadcast");
    return status < 0 ? status : broadcast(comm, data, bytes, root);
}

enum status comm_all_gather(struct comm *comm, void *all, const void *one, size_t bytes)
{
    const enum status status = comm_begin(comm, "all_gather");
    return status < 0 ? status : all_gather(comm, all, one, bytes);
}

enum status comm_gather_to_room(struct comm *comm, const char *operation, const void *one,
                                size_t bytes, void **all)
{
    enum status status = comm_begin(comm, operation);
    if (status >= 0)
        status = comm_take_room(comm, ROOM_PARTS, bytes * (size_t)comm->size, all);
    return status < 0 ? status : all_gather(comm, *all, one, bytes);
}

enum status comm_sum(struct comm *comm, double *values, int64_t n)
{
    void *all = NULL;
    CHECK(n >= 0, "%lld values", (long long)n);
    const enum status status =
        comm_gather_to_room(comm, "sum", values, (size_t)n * sizeof *values, &all);
    if (status >= 0)
        parts_sum(values, all, n, comm->size, DTYPE_F64);
    return status;
}

/* What a rank says of its failure. */
struct words {
    char message[COMM_MESSAGE_BYTES], hint[COMM_MESSAGE_BYTES];
};

/* The words of `rank`, which failed with `worst`, become everyone's. */
static enum status adopt(struct comm *comm, enum status worst, int rank)
{
    struct words words = {0};
    if (rank == comm->rank) {
        snprintf(words.message, sizeof words.message, "%s", status_message());
        snprintf(words.hint, sizeof words.hint, "%s", status_hint_text());
    }
    const enum status status = broadcast(comm, &words, sizeof words, rank);
    if (status < 0)
        return status;
    if (rank != comm->rank)
        (void)status_set(worst, "rank %d: %s", rank, words.message);
    if (rank != comm->rank && words.hint[0])
        status_hint("%s", words.hint);
    return worst;
}

enum status comm_agree(struct comm *comm, enum status mine)
{
    void *room = NULL;
    const int32_t one = mine;
    const enum status status = comm_gather_to_room(comm, "agree", &one, sizeof one, &room);
    if (status < 0)
        return status;
    const int32_t *all = room;
    int worst = 0;
    for (int r = 1; r < comm->size; r++)
        if (all[r] < all[worst])
            worst = r;
    return all[worst] < 0 ? adopt(comm, (enum status)all[worst], worst) : STATUS_OK;
}

/* -- signs of life -- */

/* Says whether this rank is done; *are_all_done: all are. */
static enum status show_life(struct comm *comm, struct comm_pulse *pulse, int32_t is_done,
                             bool *are_all_done)
{
    void *room = NULL;
    const enum status status = comm_gather_to_room(comm, "beat", &is_done, sizeof is_done, &room);
    const int32_t *all = room;
    *are_all_done = true;
    for (int r = 0; r < comm->size && status >= 0; r++)
        *are_all_done = *are_all_done && all[r];
    pulse->last_s = clock_seconds();
    return status;
}

enum status comm_beat(struct comm *comm, struct comm_pulse *pulse)
{
    bool are_all_done;
    if (pulse->last_s == 0)
        pulse->last_s = clock_seconds();
    if (clock_seconds() < pulse->last_s + comm->timeout_s / 4)
        return STATUS_OK;
    return show_life(comm, pulse, false, &are_all_done);
}

enum status comm_beat_end(struct comm *comm, struct comm_pulse *pulse, enum status mine)
{
    bool are_all_done = false;
    while (!are_all_done) {
        const enum status status = show_life(comm, pulse, true, &are_all_done);
        if (status < 0)
            return status;
    }
    return comm_agree(comm, mine);
}

/* -- equal numbers -- */

/* The rank whose number most ranks have, the first of them. */
static int find_usual(const uint64_t *all, int size)
{
    int usual = 0, most = 0;
    for (int r = 0; r < size && most <= size / 2; r++) {
        int count = 0;
        for (int other = 0; other < size; other++)
            count += all[other] == all[r];
        if (count > most) {
            most = count;
            usual = r;
        }
    }
    return usual;
}

/* "step 3: the weights of rank 1, 2 are not those of rank 0" */
static enum status say_different(const struct comm *comm, const uint64_t *all, const char *what)
{
    char step[32] = "", ranks[256] = "";
    const int usual = find_usual(all, comm->size);
    size_t used = 0;
    if (comm->step >= 0)
        snprintf(step, sizeof step, "step %lld: ", (long long)comm->step);
    for (int r = 0; r < comm->size; r++)
        if (all[r] != all[usual] && used + 16 < sizeof ranks)
            used +=
                (size_t)snprintf(ranks + used, sizeof ranks - used, "%s%d", used ? ", " : "", r);
    return status_set(STATUS_FAILED, "%s%s of rank %s are not those of rank %d", step, what, ranks,
                      usual);
}

enum status comm_check_same(struct comm *comm, uint64_t hash, const char *what)
{
    void *room = NULL;
    const enum status status = comm_gather_to_room(comm, "check_same", &hash, sizeof hash, &room);
    if (status < 0)
        return status;
    const uint64_t *all = room;
    for (int r = 1; r < comm->size; r++)
        if (all[r] != all[0])
            return say_different(comm, all, what);
    return STATUS_OK;
}
