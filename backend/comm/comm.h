/* The ranks of one job, and what they tell each other.
 *
 * Every call but comm_abort() is collective: all ranks make the same calls in the same order. A
 * call that has not ended timeout_s seconds after it began fails on this rank with STATUS_DEVICE
 * (rank, host, step, operation, and the ranks that are waited for where the transport can tell),
 * and so does every later one: the caller's part is to call comm_abort(), which ends all ranks.
 *
 * Transports: "self" (one rank, every call a copy) and MPI (Open MPI or MPICH, each in a module of
 * its own that is opened at run time by what launched the program, so that mixt itself needs
 * neither). Tensors of a GPU's backend go by NCCL where its module has it, else through the host.
 *
 * One thread at a time, the one that opened it. */
#ifndef MIXT_BACKEND_COMM_COMM_H
#define MIXT_BACKEND_COMM_COMM_H

#include "backend/backend.h"

struct comm_ops;
struct comm_device_ops;

/* Host memory that grows to the largest call and stays. */
struct comm_room {
    void *memory; /* owned */
    size_t size_bytes;
};

/* So many all-to-alls may be under way at once. */
enum { COMM_SLOTS = 4 };

enum { COMM_ROOMS = 7 + COMM_SLOTS, COMM_MESSAGE_BYTES = 512 };

struct comm {
    const struct comm_ops *ops; /* the transport's, see transport.h */
    void *context;              /* the transport's */
    int rank, size;             /* this one's number, 0 .. size - 1 */
    int node_rank, node_size;   /* among the ranks of the same host */
    int stage;                  /* ranks of a node, in two stages; 1: all at once */
    double timeout_s;           /* of one call; may be changed between calls, alike on all ranks */
    int64_t step;               /* set by the trainer, for messages; < 0: there is none */
    const char *operation;      /* the call under way or the last one, for messages */
    enum status error;          /* of the transport; sticky */
    unsigned under_way;         /* bit s: slot s is started and not finished */
    char host[64];
    char message[COMM_MESSAGE_BYTES];     /* of the error */
    struct comm_room rooms[COMM_ROOMS];   /* for the calls of tensors */
    const struct comm_device_ops *device; /* NCCL, or NULL: through the host */
    void *device_context;                 /* its own */
    const struct backend *device_backend; /* which handle the two were looked up for */
};

/* transport: "self", "openmpi", "mpich", "mpi" (the one of the two that launched the program) or
 * "auto" (mpi where the program was launched by mpirun or srun, else self). Collective. On error
 * the struct is zeroed: STATUS_CONFIG (no such transport, or nothing launched the program),
 * STATUS_DEVICE (a module or its library is missing, or MPI does not start). */
enum status comm_open(struct comm *comm, const char *transport, double timeout_s) STATUS_CHECKED;

/* Waits for the other ranks and closes, before the backends whose tensors it carried; a zeroed
 * struct may be closed. After an error nobody is waited for, and the launcher ends the job. */
void comm_close(struct comm *comm);

static inline bool comm_is_alone(const struct comm *comm)
{
    return !comm || comm->size <= 1;
}

/* -- control: host memory, a few bytes -- */

/* No rank leaves before all have come. */
enum status comm_barrier(struct comm *comm) STATUS_CHECKED;
/* data [bytes] inout: becomes root's. */
enum status comm_broadcast(struct comm *comm, void *data, size_t bytes, int root) STATUS_CHECKED;
/* all [size * bytes] = every rank's one [bytes], in order of the ranks. */
enum status comm_all_gather(struct comm *comm, void *all, const void *one,
                            size_t bytes) STATUS_CHECKED;
/* values [n] inout: their sums over the ranks, added in order of the ranks: the same bits on all.
 */
enum status comm_sum(struct comm *comm, double *values, int64_t n) STATUS_CHECKED;
/* One decision of all ranks: the worst (lowest) status. Where that is an error, the message and
 * hint of the first rank that has it become everyone's, behind "rank N: " where N is another. */
enum status comm_agree(struct comm *comm, enum status mine) STATUS_CHECKED;
/* Work of each rank alone that may take longer than the timeout, as writing a file. All ranks begin
 * such work with a zeroed pulse; while it lasts each calls comm_beat() as often as it likes, and
 * then comm_beat_end(), which returns when all have, as comm_agree(). So those that are done wait
 * for the others as long as these go on, and no longer than the timeout for one that does not. */
struct comm_pulse {
    double last_s; /* when this rank was last heard */
};

enum status comm_beat(struct comm *comm, struct comm_pulse *pulse) STATUS_CHECKED;
enum status comm_beat_end(struct comm *comm, struct comm_pulse *pulse,
                          enum status mine) STATUS_CHECKED;

/* STATUS_FAILED on all ranks where some hold another number than the others; the message names
 * them, the step, and what ("the weights"). */
enum status comm_check_same(struct comm *comm, uint64_t hash, const char *what) STATUS_CHECKED;
/* Ends every rank of the job, also those that are stopped or hang, with this exit code where the
 * launcher passes it on. */
void comm_abort(struct comm *comm, int exit_code) __attribute__((noreturn));

/* -- data: tensors of a backend (real or i32; all_to_all: any type) --
 *
 * Device errors of the backend itself surface at backend_sync() as ever. Where an output may be
 * part of an input a line says so. Sums through MPI are ours: each share is added in order of the
 * ranks by the rank that owns it, so results have the same bits on every rank and in every run,
 * whatever the MPI library's algorithms. NCCL's have the same bits on every rank; those of another
 * run are the same where NCCL chooses the same algorithm. */

/* tensor inout: the sum over the ranks. */
enum status comm_all_reduce(struct comm *comm, struct backend *backend,
                            const struct tensor *tensor) STATUS_CHECKED;
/* part [share of this rank] = its share of the sum of whole, which is cut along all its elements
 * by comm_share(). part may be that share of whole. */
enum status comm_reduce_scatter(struct comm *comm, struct backend *backend,
                                const struct tensor *part,
                                const struct tensor *whole) STATUS_CHECKED;
/* part [share of this rank] += its share of each rank's whole, one rank's after the other: so the
 * sum of many such calls has the bits of adding all that came alone, whatever the ranks' number.
 * Goes through the host's memory, also for a GPU. part must not be of whole. */
enum status comm_add_shares(struct comm *comm, struct backend *backend, const struct tensor *part,
                            const struct tensor *whole) STATUS_CHECKED;
/* whole = the ranks' parts, cut as above; part may be this rank's share of whole. */
enum status comm_gather_parts(struct comm *comm, struct backend *backend,
                              const struct tensor *whole, const struct tensor *part) STATUS_CHECKED;
/* Rows of in [sum of send, D] stand in order of their destinations, rows of out [sum of receive,
 * D] come in order of their sources; send, receive [size]: rows to and from each rank, host
 * memory. receive of one rank must be what the other sends. Rows of no width may be sent. */
enum status comm_all_to_all(struct comm *comm, struct backend *backend, const struct tensor *out,
                            const int64_t *receive, const struct tensor *in,
                            const int64_t *send) STATUS_CHECKED;

/* Rows of an all-to-all: of a tensor [rows, D] those that begin at row at[r], count[r] of them, are
 * to or from rank r; count, at [size]: host memory. */
struct comm_rows {
    const struct tensor *tensor;
    const int64_t *count, *at;
};

/* The same in two halves, between which the ranks compute: until the second, neither in nor out may
 * be touched, nor their lists. Each has a slot in 0..COMM_SLOTS-1 to itself. While any is under way
 * no other calls are made than these three and comm_poll(). The deadline is that of the second
 * half. Where comm_overlaps() says no, the first half is the whole, and rows have to lie one behind
 * the other. */
enum status comm_all_to_all_start(struct comm *comm, struct backend *backend, int slot,
                                  const struct comm_rows *out,
                                  const struct comm_rows *in) STATUS_CHECKED;
enum status comm_all_to_all_finish(struct comm *comm, int slot) STATUS_CHECKED;

/* Moves on what is under way; an error is told by the next call. MPI moves messages inside its
 * calls alone: whoever computes meanwhile comes here between pieces. NULL may be given. */
void comm_poll(struct comm *comm);

/* Whether rows of the backend travel while the ranks compute: not in stages, nor from a device
 * through the host's memory. Alike on all ranks. Known after the backend's first tensor call. */
bool comm_overlaps(const struct comm *comm, const struct backend *backend);

/* Rows travel inside nodes of so many ranks first and then between nodes (1: all at once), for
 * calls through the host's memory. Alike on all ranks, a divisor of their number; ranks a node has
 * are numbered one after the other. comm_open() sets it from 64 ranks on, where nodes are alike. */
void comm_set_stage(struct comm *comm, int node);

/* The element of n at which a rank's share begins; it ends where that of rank + 1 begins. Shares
 * differ by one at most, and the larger come first. */
int64_t comm_share(int64_t n, int rank, int size);
/* How many elements a rank's share has. */
int64_t comm_share_length(int64_t n, int rank, int size);

#endif
