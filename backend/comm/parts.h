/* What the files of this folder share; callers have no use for it. */
#ifndef MIXT_BACKEND_COMM_PARTS_H
#define MIXT_BACKEND_COMM_PARTS_H

#include "backend/comm/transport.h"

/* The start of a call: an older error, or the operation's name noted. */
enum status comm_begin(struct comm *comm, const char *operation) STATUS_CHECKED;
/* The same of a call that may be made while exchanges are under way. */
enum status comm_begin_beside(struct comm *comm, const char *operation) STATUS_CHECKED;

/* The end of a transport's call: keeps its error, and makes its message this thread's. */
enum status comm_end(struct comm *comm, enum status status) STATUS_CHECKED;

/* What the rooms are for: what other ranks send, tensors of a device, lists of sizes; in two stages
 * lists again, and what is packed and passed on; lists of the exchanges in each slot. */
enum comm_rooms {
    ROOM_PARTS,
    ROOM_IN,
    ROOM_OUT,
    ROOM_LISTS,
    ROOM_STAGES,
    ROOM_PACKED,
    ROOM_MIDDLE,
    ROOM_SLOTS
};

/* One of the rooms, of at least so many bytes; its content is undefined. */
enum status comm_take_room(struct comm *comm, int room, size_t size_bytes,
                           void **memory) STATUS_CHECKED;

/* A whole control call: *all [size * bytes] = every rank's one [bytes], in ROOM_PARTS. */
enum status comm_gather_to_room(struct comm *comm, const char *operation, const void *one,
                                size_t bytes, void **all) STATUS_CHECKED;

/* A transport's exchange from start to end. */
enum status comm_exchange_now(struct comm *comm,
                              const struct comm_exchange *exchange) STATUS_CHECKED;

/* sum [n] = parts [size, n], added in order of the ranks; real or i32, whose sums wrap. */
void parts_sum(void *sum, const void *parts, int64_t n, int size, enum dtype dtype);
/* The same onto what sum holds: it comes first. */
void parts_add(void *sum, const void *parts, int64_t n, int size, enum dtype dtype);

/* The exchange of comm_all_to_all() in two stages, comm->stage ranks a node; sizes [size] in bytes,
 * blocks one behind the other in order of the ranks on both sides. in and out lie apart. */
enum status stages_exchange(struct comm *comm, char *out, const int64_t *receive, const char *in,
                            const int64_t *send) STATUS_CHECKED;

/* From so many ranks on nodes of several are stages where all have equally many, and ranks are
 * numbered node by node. */
enum { STAGES_FROM = 64 };

/* Collective, once: decides whether to go in stages. */
enum status stages_choose(struct comm *comm) STATUS_CHECKED;

#endif
