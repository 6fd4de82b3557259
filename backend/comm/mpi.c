/* Ranks by MPI: a module, compiled once against Open MPI and once against MPICH.
 *
 * Every call of MPI but the first and the last ones is non-blocking and tested until a deadline,
 * so that no rank waits for ever. Large messages go in pieces, since counts are int in MPI 3. What
 * is summed is summed by the caller, in order of the ranks. One file, if a long one: both modules,
 * the tests' and the simulation compile it by itself. */
#include <mpi.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backend/comm/transport.h"
#include "base/clock.h"

#ifdef OPEN_MPI
#    define NAME "openmpi"
#else
#    define NAME "mpich"
#endif

/* One message's largest size; tests make it small. */
#ifndef COMM_PIECE_BYTES
#    define COMM_PIECE_BYTES (1 << 30)
#endif

/* Messages under way each way; tags go round below what every MPI allows. */
enum { PIECE_BYTES = COMM_PIECE_BYTES, WINDOW = 8, MAX_TAG = 32767 };

/* MPI's own start and end, which cannot be tested, are given this long at least. */
enum { SHORTEST_GUARD_S = 60 };

/* A place in the window: messages to or from every WINDOW-th rank, one after the other. Ranks are
 * taken in order of their distance, so that at any time each rank is sent to by few. */
struct lane {
    bool is_sending;
    int distance; /* of the rank under way; >= size: the lane is done */
    int peer;
    char *at;      /* where the message under way continues */
    int64_t left;  /* bytes of it, from `at` on */
    int under_way; /* bytes of the piece under way */
};

/* An exchange. */
struct transfer {
    struct comm_exchange bytes;
    struct lane lanes[2 * WINDOW];
    MPI_Request requests[2 * WINDOW];
    int tag; /* what is left of one that failed meets no other, nor do those under way together */
    bool is_under_way;
};

struct mpi {
    MPI_Comm ranks;     /* a communicator of our own, with errors returned */
    MPI_Comm roll;      /* for calling the roll */
    MPI_Request *calls; /* owned [2 * size]: of the roll */
    int tag;            /* of the last exchange */
    struct transfer transfers[COMM_SLOTS + 1];
};

/* -- errors -- */

/* "rank 1 on host: step 7: barrier" in text. */
static void say_where(const struct comm *comm, char text[COMM_MESSAGE_BYTES / 2])
{
    char step[32] = "";
    if (comm->step >= 0)
        snprintf(step, sizeof step, "step %lld: ", (long long)comm->step);
    snprintf(text, COMM_MESSAGE_BYTES / 2, "rank %d on %s: %s%s", comm->rank, comm->host, step,
             comm->operation);
}

/* MPI's words for its error. */
static enum status fail(struct comm *comm, int error)
{
    char where[COMM_MESSAGE_BYTES / 2], words[MPI_MAX_ERROR_STRING + 1] = "";
    int length = 0;
    if (MPI_Error_string(error, words, &length) != MPI_SUCCESS)
        snprintf(words, sizeof words, "error %d", error);
    for (char *c = words; *c; c++)
        *c = *c == '\n' ? ' ' : *c;
    say_where(comm, where);
    snprintf(comm->message, sizeof comm->message, "%s: %.200s", where, words);
    return STATUS_DEVICE;
}

/* -- waiting -- */

/* Between two looks: first none, then the core is offered to others, then ever longer sleep. */
static void rest(int looks)
{
    enum { SPINS = 100, YIELDS = 200, SHORTEST_NS = 20000, LONGEST_NS = 1000000 };
    if (looks < SPINS)
        return;
    if (looks < YIELDS) {
        sched_yield();
        return;
    }
    const long sleep_ns = SHORTEST_NS * (1L + (looks - YIELDS) / 50);
    const struct timespec pause = {.tv_nsec = sleep_ns < LONGEST_NS ? sleep_ns : LONGEST_NS};
    nanosleep(&pause, NULL);
}

/* Ranks that wait answer those whose time is up: they are there, and are not what is waited for. */
enum { ROLL_CALL, ROLL_ANSWER };

static void answer_roll(const struct mpi *mpi)
{
    int is_called = 0;
    MPI_Status call;
    MPI_Request answer;
    if (MPI_Iprobe(MPI_ANY_SOURCE, ROLL_CALL, mpi->roll, &is_called, &call) != MPI_SUCCESS)
        return;
    if (!is_called || MPI_Recv(NULL, 0, MPI_BYTE, call.MPI_SOURCE, ROLL_CALL, mpi->roll,
                               MPI_STATUS_IGNORE) != MPI_SUCCESS)
        return;
    if (MPI_Isend(NULL, 0, MPI_BYTE, call.MPI_SOURCE, ROLL_ANSWER, mpi->roll, &answer) ==
        MPI_SUCCESS)
        (void)MPI_Request_free(&answer);
}

/* Between two looks of one that waits. */
static void wait_a_moment(const struct comm *comm, int looks)
{
    enum { LOOKS_A_ROLL = 64 };
    rest(looks);
    if (looks % LOOKS_A_ROLL == LOOKS_A_ROLL - 1)
        answer_roll(comm->context);
}

/* Tests the roll's answers; the ranks without one in text. */
static int count_missing(const struct comm *comm, const struct mpi *mpi, char *text, size_t size)
{
    int missing = 0;
    size_t used = 0;
    text[0] = '\0';
    for (int r = 0; r < comm->size; r++) {
        int has_answered = 0;
        (void)MPI_Test(&mpi->calls[r], &has_answered, MPI_STATUS_IGNORE);
        if (!has_answered && used + 16 < size)
            used += (size_t)snprintf(text + used, size - used, "%s%d", used ? ", " : "", r);
        missing += !has_answered;
    }
    return missing;
}

/* The numbers of the ranks that do not answer within a moment in text, "" where all do. */
static void call_roll(const struct comm *comm, char *text, size_t size)
{
    struct mpi *mpi = comm->context;
    const double last = clock_seconds() + (comm->timeout_s < 4 ? comm->timeout_s / 4 : 1);
    for (int r = 0; r < comm->size; r++)
        mpi->calls[r] = mpi->calls[comm->size + r] = MPI_REQUEST_NULL;
    for (int r = 0; r < comm->size; r++)
        if (r != comm->rank) {
            (void)MPI_Irecv(NULL, 0, MPI_BYTE, r, ROLL_ANSWER, mpi->roll, &mpi->calls[r]);
            (void)MPI_Isend(NULL, 0, MPI_BYTE, r, ROLL_CALL, mpi->roll,
                            &mpi->calls[comm->size + r]);
        }
    for (int looks = 0; count_missing(comm, mpi, text, size) > 0 && clock_seconds() < last;
         looks++) {
        answer_roll(mpi);
        rest(looks);
    }
}

static enum status too_late(struct comm *comm)
{
    char where[COMM_MESSAGE_BYTES / 2], missing[COMM_MESSAGE_BYTES / 4];
    say_where(comm, where);
    call_roll(comm, missing, sizeof missing);
    snprintf(comm->message, sizeof comm->message, "%s did not end within %g s%s%s", where,
             comm->timeout_s, missing[0] ? "; no word from rank " : "", missing);
    return STATUS_DEVICE;
}

/* Tests a request that `error` came with until it is done. */
static enum status wait_for(struct comm *comm, MPI_Request *request, int error)
{
    const double deadline = clock_seconds() + comm->timeout_s;
    int is_done = 0;
    for (int looks = 0; error == MPI_SUCCESS; looks++) {
        error = MPI_Test(request, &is_done, MPI_STATUS_IGNORE);
        if (error == MPI_SUCCESS && is_done)
            return STATUS_OK;
        if (clock_seconds() > deadline)
            return too_late(comm);
        wait_a_moment(comm, looks);
    }
    return fail(comm, error);
}

/* -- control -- */

static enum status mpi_barrier(struct comm *comm)
{
    struct mpi *mpi = comm->context;
    MPI_Request request = MPI_REQUEST_NULL;
    const int error = MPI_Ibarrier(mpi->ranks, &request);
    return wait_for(comm, &request, error);
}

static enum status mpi_broadcast(struct comm *comm, void *data, size_t bytes, int root)
{
    struct mpi *mpi = comm->context;
    enum status status = STATUS_OK;
    for (size_t done = 0; done < bytes && status >= 0; done += PIECE_BYTES) {
        const size_t left = bytes - done;
        MPI_Request request = MPI_REQUEST_NULL;
        const int error =
            MPI_Ibcast((char *)data + done, (int)(left < PIECE_BYTES ? left : PIECE_BYTES),
                       MPI_BYTE, root, mpi->ranks, &request);
        status = wait_for(comm, &request, error);
    }
    return status;
}

/* -- exchange -- */

/* The rank at the lane's distance becomes the next peer. */
static void meet(const struct comm *comm, const struct comm_exchange *exchange, struct lane *lane)
{
    const int size = comm->size;
    if (lane->is_sending) {
        lane->peer = (comm->rank + lane->distance) % size;
        lane->at = (char *)exchange->in + exchange->in_at[lane->peer];
        lane->left = exchange->send[lane->peer];
    } else {
        lane->peer = (comm->rank - lane->distance + size) % size;
        lane->at = exchange->out + exchange->out_at[lane->peer];
        lane->left = exchange->receive[lane->peer];
    }
}

/* Lane i's next piece, of this peer or of the next that has any. */
static int go_on(const struct comm *comm, struct transfer *transfer, int i)
{
    const struct mpi *mpi = comm->context;
    struct lane *lane = &transfer->lanes[i];
    MPI_Request *request = &transfer->requests[i];
    while (lane->left == 0 && lane->distance < comm->size) {
        lane->distance += WINDOW;
        if (lane->distance < comm->size)
            meet(comm, &transfer->bytes, lane);
    }
    *request = MPI_REQUEST_NULL;
    if (lane->left == 0)
        return MPI_SUCCESS;
    lane->under_way = (int)(lane->left < PIECE_BYTES ? lane->left : PIECE_BYTES);
    if (lane->is_sending)
        return MPI_Isend(lane->at, lane->under_way, MPI_BYTE, lane->peer, transfer->tag, mpi->ranks,
                         request);
    return MPI_Irecv(lane->at, lane->under_way, MPI_BYTE, lane->peer, transfer->tag, mpi->ranks,
                     request);
}

/* The piece under way has come or gone. STATUS_FAILED where it is shorter than it should be. */
static enum status account(struct comm *comm, struct lane *lane, const MPI_Status *result)
{
    int bytes = lane->under_way;
    if (!lane->is_sending)
        MPI_Get_count(result, MPI_BYTE, &bytes);
    if (bytes != lane->under_way) {
        char where[COMM_MESSAGE_BYTES / 2];
        say_where(comm, where);
        snprintf(comm->message, sizeof comm->message, "%s: rank %d sent %d bytes instead of %d",
                 where, lane->peer, bytes, lane->under_way);
        return STATUS_FAILED;
    }
    lane->at += lane->under_way;
    lane->left -= lane->under_way;
    return STATUS_OK;
}

/* Lanes whose pieces are through go on; *has_moved becomes true where there are any. */
static enum status look(struct comm *comm, struct transfer *transfer, bool *has_moved)
{
    int n_done = 0, done[2 * WINDOW];
    MPI_Status results[2 * WINDOW];
    int error = MPI_Testsome(2 * WINDOW, transfer->requests, &n_done, done, results);
    if (error == MPI_ERR_IN_STATUS)
        for (int i = 0; i < n_done; i++)
            error = results[i].MPI_ERROR != MPI_SUCCESS ? results[i].MPI_ERROR : error;
    transfer->is_under_way = n_done != MPI_UNDEFINED;
    for (int i = 0; i < n_done && n_done != MPI_UNDEFINED && error == MPI_SUCCESS; i++) {
        if (account(comm, &transfer->lanes[done[i]], &results[i]) < 0)
            return STATUS_FAILED;
        error = go_on(comm, transfer, done[i]);
        *has_moved = true;
    }
    return error == MPI_SUCCESS ? STATUS_OK : fail(comm, error);
}

static enum status look_at_all(struct comm *comm, bool *has_moved)
{
    struct mpi *mpi = comm->context;
    enum status status = STATUS_OK;
    *has_moved = false;
    for (int i = 0; i <= COMM_SLOTS && status >= 0; i++)
        if (mpi->transfers[i].is_under_way)
            status = look(comm, &mpi->transfers[i], has_moved);
    return status;
}

static enum status mpi_start(struct comm *comm, int slot, const struct comm_exchange *exchange)
{
    struct mpi *mpi = comm->context;
    struct transfer *transfer = &mpi->transfers[slot];
    const char *mine = exchange->in + exchange->in_at[comm->rank];
    char *target = exchange->out + exchange->out_at[comm->rank];
    mpi->tag = mpi->tag % MAX_TAG + 1;
    transfer->bytes = *exchange;
    transfer->tag = mpi->tag;
    transfer->is_under_way = true;
    if (target != mine && exchange->send[comm->rank] > 0)
        memmove(target, mine, (size_t)exchange->send[comm->rank]);
    for (int i = 0; i < 2 * WINDOW; i++) {
        transfer->lanes[i] =
            (struct lane){.is_sending = i >= WINDOW, .distance = 1 + i % WINDOW - WINDOW};
        const int error = go_on(comm, transfer, i);
        if (error != MPI_SUCCESS)
            return fail(comm, error);
    }
    return STATUS_OK;
}

/* What is through may let MPI move on what stands behind it. */
static enum status mpi_poll(struct comm *comm)
{
    enum { FEW = 4 };
    enum status status = STATUS_OK;
    bool has_moved = false;
    for (int looks = 0; looks < FEW && status >= 0; looks = has_moved ? 0 : looks + 1)
        status = look_at_all(comm, &has_moved);
    return status;
}

static enum status mpi_finish(struct comm *comm, int slot)
{
    const struct mpi *mpi = comm->context;
    const double deadline = clock_seconds() + comm->timeout_s;
    for (int looks = 0;; looks++) {
        bool has_moved = false;
        const enum status status = look_at_all(comm, &has_moved);
        if (status < 0 || !mpi->transfers[slot].is_under_way)
            return status;
        if (clock_seconds() > deadline)
            return too_late(comm);
        looks = has_moved ? 0 : looks;
        wait_a_moment(comm, looks);
    }
}

static enum status mpi_exchange(struct comm *comm, const struct comm_exchange *exchange)
{
    const enum status status = mpi_start(comm, COMM_SLOTS, exchange);
    return status < 0 ? status : mpi_finish(comm, COMM_SLOTS);
}

/* -- control, continued -- */

/* What is too large for one count goes as an exchange. */
static enum status gather_large(struct comm *comm, void *all, const void *one, size_t bytes)
{
    const size_t n = (size_t)comm->size;
    int64_t *lists = malloc(3 * n * sizeof *lists);
    if (!lists) {
        snprintf(comm->message, sizeof comm->message, "no memory for a list of %d ranks",
                 comm->size);
        return STATUS_MEMORY;
    }
    for (size_t r = 0; r < n; r++) {
        lists[r] = (int64_t)bytes;
        lists[n + r] = (int64_t)(r * bytes);
        lists[2 * n + r] = 0;
    }
    const struct comm_exchange exchange = {all, lists, lists + n, one, lists, lists + 2 * n};
    const enum status status = mpi_exchange(comm, &exchange);
    free(lists);
    return status;
}

static enum status mpi_all_gather(struct comm *comm, void *all, const void *one, size_t bytes)
{
    struct mpi *mpi = comm->context;
    MPI_Request request = MPI_REQUEST_NULL;
    if (bytes == 0)
        return mpi_barrier(comm);
    if (bytes > PIECE_BYTES)
        return gather_large(comm, all, one, bytes);
    const int error =
        MPI_Iallgather(one, (int)bytes, MPI_BYTE, all, (int)bytes, MPI_BYTE, mpi->ranks, &request);
    return wait_for(comm, &request, error);
}

/* -- the start and the end -- */

static char late_line[COMM_MESSAGE_BYTES]; /* for a signal's handler */

static void die_late(int signal_number)
{
    (void)signal_number;
    const ssize_t written = write(STDERR_FILENO, late_line, strlen(late_line));
    (void)written;
    _exit(1);
}

/* Until unguard() the process ends with a line when MPI does not return. */
static void guard(const struct comm *comm, const char *what)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};
    const char *rank = NULL;
    const unsigned seconds =
        comm->timeout_s > SHORTEST_GUARD_S ? (unsigned)comm->timeout_s : SHORTEST_GUARD_S;
    for (int i = 0; i < 3 && !rank; i++)
        rank = getenv(names[i]);
    snprintf(late_line, sizeof late_line, "mixt: rank %s on %s: %s did not end within %u s\n",
             rank ? rank : "?", comm->host, what, seconds);
    (void)signal(SIGALRM, die_late);
    (void)alarm(seconds);
}

static void unguard(void)
{
    (void)alarm(0);
    (void)signal(SIGALRM, SIG_DFL);
}

/* Until every rank has left the last barrier, without a look at messages: MPICH 4.0 over UCX asks
 * each rank for an answer within MPI_Finalize, and then stays deaf until all have ended. A rank
 * that answers while it is still in the barrier would ask in vain later. */
static void pause_before_end(void)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    nanosleep(&pause, NULL);
}

/* Where a rank stays behind nobody is waited for: the process ends without MPI's own end, and the
 * launcher ends the others. */
static void mpi_close(struct comm *comm)
{
    struct mpi *mpi = comm->context;
    comm->operation = "close";
    if (comm->error >= 0 && mpi_barrier(comm) >= 0) {
        guard(comm, "MPI_Finalize");
        (void)MPI_Comm_free(&mpi->roll);
        (void)MPI_Comm_free(&mpi->ranks);
        if (comm->size > 1)
            pause_before_end();
        (void)MPI_Finalize();
        unguard();
    }
    free(mpi->calls);
    free(mpi);
    comm->context = NULL;
}

/* The launcher kills what does not end by itself, stopped ranks too. */
static void mpi_abort(struct comm *comm, int exit_code)
{
    const struct mpi *mpi = comm->context;
    (void)MPI_Abort(mpi->ranks, exit_code);
}

static int count_node(struct comm *comm)
{
    MPI_Comm node;
    int error = MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
    if (error != MPI_SUCCESS)
        return error;
    (void)MPI_Comm_rank(node, &comm->node_rank);
    (void)MPI_Comm_size(node, &comm->node_size);
    return MPI_Comm_free(&node);
}

static int start(struct comm *comm, struct mpi *mpi)
{
    int provided = 0;
    int error = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    if (error == MPI_SUCCESS)
        error = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    if (error == MPI_SUCCESS)
        error = MPI_Comm_dup(MPI_COMM_WORLD, &mpi->ranks);
    if (error == MPI_SUCCESS)
        error = MPI_Comm_dup(MPI_COMM_WORLD, &mpi->roll);
    if (error != MPI_SUCCESS)
        return error;
    (void)MPI_Comm_rank(mpi->ranks, &comm->rank);
    (void)MPI_Comm_size(mpi->ranks, &comm->size);
    return count_node(comm);
}

static enum status mpi_open(struct comm *comm)
{
    static const struct comm_ops ops = {
        .name = NAME,
        .close = mpi_close,
        .barrier = mpi_barrier,
        .broadcast = mpi_broadcast,
        .all_gather = mpi_all_gather,
        .start = mpi_start,
        .poll = mpi_poll,
        .finish = mpi_finish,
        .abort = mpi_abort,
    };
    struct mpi *mpi = calloc(1, sizeof *mpi);
    guard(comm, "MPI_Init");
    const int error = mpi ? start(comm, mpi) : MPI_ERR_OTHER;
    unguard();
    if (error == MPI_SUCCESS)
        mpi->calls = malloc(2 * (size_t)comm->size * sizeof *mpi->calls);
    if (error != MPI_SUCCESS || !mpi->calls) {
        snprintf(comm->message, sizeof comm->message, NAME ": MPI does not start (error %d)",
                 error);
        free(mpi);
        return STATUS_DEVICE;
    }
    comm->ops = &ops;
    comm->context = mpi;
    return STATUS_OK;
}

__attribute__((visibility("default"))) const struct comm_module *mixt_comm_module(int version);

const struct comm_module *mixt_comm_module(int version)
{
    static const struct comm_module module = {mpi_open};
    return version == COMM_MODULE_VERSION ? &module : NULL;
}
