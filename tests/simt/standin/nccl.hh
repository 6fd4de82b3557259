/* The communicators of the stand-in of NCCL, and how their ranks exchange messages.
 *
 * Ranks are threads or processes of one machine. A message is a file in a folder that the unique
 * id names; whoever takes it removes it. Nothing waits but the making of a communicator. */
#ifndef MIXT_TESTS_SIMT_STANDIN_NCCL_HH
#define MIXT_TESTS_SIMT_STANDIN_NCCL_HH

#include <nccl.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

enum nccl_kind {
    NCCL_ALL_REDUCE,
    NCCL_REDUCE,
    NCCL_REDUCE_SCATTER,
    NCCL_ALL_GATHER,
    NCCL_BROADCAST,
    NCCL_SEND,
    NCCL_RECV,
};

/* One call of one rank. */
struct nccl_call {
    struct ncclComm *comm;
    cudaStream_t stream;
    const void *send;
    void *recv;
    uint64_t count;
    enum nccl_kind kind;
    ncclDataType_t type;
    ncclRedOp_t op;
    int peer; /* or the root */
};

/* What a message says of the call that sent it; both sides must agree. */
struct nccl_head {
    uint64_t count;
    int kind, type, op, root;
};

/* A call whose own part has been sent. */
struct nccl_started {
    struct nccl_call call;
    uint64_t number;
    double since_ms;
};

struct ncclComm {
    std::string folder;
    int rank, n_ranks, device;
    std::atomic<int> error; /* of ncclResult_t; stays */
    std::atomic<int> n_pending;
    bool is_blocking; /* else calls return ncclInProgress, until asked twice */
    bool is_joining;  /* not all ranks have been seen */
    bool is_busy;     /* a call has returned ncclInProgress and nobody has asked */
    double since_ms;  /* of the joining */
    cudaStream_t last_stream;
    /* Touched by work on streams only: */
    uint64_t n_collectives;
    std::vector<uint64_t> n_sent, n_received; /* by peer */
    std::deque<struct nccl_started> started;
};

/* What is waited for at most, STANDIN_NCCL_TIMEOUT_MS or 20 s. */
double nccl_timeout_ms(void);
double nccl_now_ms(void);

size_t nccl_type_bytes(ncclDataType_t type);
const char *nccl_kind_name(int kind);

/* The path of a folder that nobody has used; the first rank that joins makes it. */
std::string nccl_new_folder(void);

/* Says that a rank is there; false if it was before. */
bool nccl_join(const struct ncclComm *comm);

/* ncclInProgress while not all are there; what is wrong with them, or ncclSuccess. */
ncclResult_t nccl_look_for_all(const struct ncclComm *comm);

/* Waits for all; what is wrong with them, or ncclSuccess. */
ncclResult_t nccl_wait_for_all(const struct ncclComm *comm);

/* Removes the rank's traces, and with the last one the folder. */
void nccl_leave(const struct ncclComm *comm);

/* Tells everyone to give up; whether someone has. */
void nccl_give_up(const struct ncclComm *comm);
bool nccl_has_given_up(const struct ncclComm *comm);

/* Messages by channel letter and number, from a rank to another. */
void nccl_put(const struct ncclComm *comm, char channel, uint64_t number, int to,
              const struct nccl_head *head, const void *data, size_t bytes);
bool nccl_is_there(const struct ncclComm *comm, char channel, uint64_t number, int from);
std::vector<char> nccl_take(const struct ncclComm *comm, char channel, uint64_t number, int from,
                            struct nccl_head *head);

/* Puts calls on their streams: first the sending of all of them, then their ends, so that those of
 * a group may wait for each other. */
void nccl_enqueue(const std::vector<struct nccl_call> &calls);

#endif
