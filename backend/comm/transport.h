/* What carries bytes between ranks, and the border to the modules that do.
 *
 * A module links its own copy of base/: what passes the border is struct comm and this table. It
 * keeps its messages in comm->message, not in status_set(), whose text is one a copy; comm.c hands
 * them on. */
#ifndef MIXT_BACKEND_COMM_TRANSPORT_H
#define MIXT_BACKEND_COMM_TRANSPORT_H

#include "backend/comm/comm.h"

/* Bytes to and from every rank, this one included; sizes and places [size], in bytes. What a rank
 * sends lies apart from what it receives, but for its own, which may be the same memory. */
struct comm_exchange {
    char *out;
    const int64_t *receive, *out_at;
    const char *in;
    const int64_t *send, *in_at;
};

struct comm_ops {
    const char *name;
    /* Frees the context; waits for the others unless comm->error says that this is vain. */
    void (*close)(struct comm *comm);
    enum status (*barrier)(struct comm *comm);
    enum status (*broadcast)(struct comm *comm, void *data, size_t bytes, int root);
    enum status (*all_gather)(struct comm *comm, void *all, const void *one, size_t bytes);
    /* An exchange begins in a slot in 0..COMM_SLOTS; its lists and bytes stay until it is finished.
     * poll() moves on all that are under way; while finish() waits for one it moves all. */
    enum status (*start)(struct comm *comm, int slot, const struct comm_exchange *exchange);
    enum status (*poll)(struct comm *comm);
    enum status (*finish)(struct comm *comm, int slot);
    /* Ends the job; may return, and then the program exits. */
    void (*abort)(struct comm *comm, int exit_code);
};

/* -- tensors without the host: in the module of a backend, beside its operations -- */

enum { COMM_DEVICE_ID_BYTES = 128 };

/* Functions that return a status leave their message in comm->message. Work of the tensor calls
 * is done when they return, but for start(), whose work finish() waits for. */
struct comm_device_ops {
    /* What the ranks find each other by; called by one of them. */
    enum status (*make_id)(struct comm *comm, unsigned char id[COMM_DEVICE_ID_BYTES]);
    /* Collective; fills comm->device_context. */
    enum status (*open)(struct comm *comm, struct backend *backend,
                        const unsigned char id[COMM_DEVICE_ID_BYTES]);
    void (*close)(struct comm *comm);
    /* Ends what is under way. */
    void (*abort)(struct comm *comm);
    enum status (*all_reduce)(struct comm *comm, struct backend *backend,
                              const struct tensor *tensor);
    enum status (*reduce_scatter)(struct comm *comm, struct backend *backend,
                                  const struct tensor *part, const struct tensor *whole);
    enum status (*gather_parts)(struct comm *comm, struct backend *backend,
                                const struct tensor *whole, const struct tensor *part);
    enum status (*start)(struct comm *comm, struct backend *backend, int slot,
                         const struct comm_rows *out, const struct comm_rows *in);
    enum status (*finish)(struct comm *comm, int slot);
};

/* -- modules -- */

struct comm_module {
    /* Starts the transport: fills ops, context, rank, size, node_rank and node_size. Never twice in
     * one process. */
    enum status (*open)(struct comm *comm);
};

/* The number of this border, as BACKEND_MODULE_VERSION is of the other. */
enum { COMM_MODULE_VERSION = 1 << 16 | (int)(sizeof(struct comm_ops) + sizeof(struct comm)) };

/* The one symbol of a module: its functions, or NULL for another version than its own. */
typedef const struct comm_module *comm_module_function(int version);
#define COMM_MODULE_SYMBOL "mixt_comm_module"

/* What launched this program: "openmpi", "mpich" or NULL for nothing that is known. */
const char *comm_launcher(void);

/* Loads libmixt-STEM.so of "openmpi" or "mpich" and starts it. */
enum status comm_open_mpi(struct comm *comm, const char *stem) STATUS_CHECKED;

/* One rank. */
void comm_open_self(struct comm *comm);

/* Puts a faulty transport before the open one, for tests; text: see faulty.c. STATUS_CONFIG where
 * it says nothing that is known. */
enum status comm_make_faulty(struct comm *comm, const char *text) STATUS_CHECKED;

#endif
