/* What the files of this folder share; callers have no use for it. */
#ifndef MIXT_BACKEND_COMM_PARTS_H
#define MIXT_BACKEND_COMM_PARTS_H

#include "backend/comm/transport.h"

/* The start of a call: an older error, or the operation's name noted. */
enum status comm_begin(struct comm *comm, const char *operation) STATUS_CHECKED;

/* The end of a transport's call: keeps its error, and makes its message this thread's. */
enum status comm_end(struct comm *comm, enum status status) STATUS_CHECKED;

/* One of the rooms, of at least so many bytes; its content is undefined. */
enum status comm_take_room(struct comm *comm, int room, size_t size_bytes,
                           void **memory) STATUS_CHECKED;

/* sum [n] = parts [size, n], added in order of the ranks; real or i32, whose sums wrap. */
void parts_sum(void *sum, const void *parts, int64_t n, int size, enum dtype dtype);

#endif
