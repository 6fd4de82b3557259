/* What the files of this folder share: a handle's own state, and how work is split.
 *
 * A loop over rows is split into equal runs of rows, one a thread, and each run is handed to a
 * function marked KERNEL. Nothing that a row's result depends on may follow from the split. */
#ifndef MIXT_BACKEND_CPU_CONTEXT_H
#define MIXT_BACKEND_CPU_CONTEXT_H

#include <pthread.h>

#include "backend/cpu/copies.h"
#include "backend/cpu/gemm.h"
#include "backend/cpu/room.h"
#include "backend/support.h"

/* A function that is compiled once for each width of vectors and chosen when the program starts.
 * OpenMP's parallel regions must stay outside of it: the compiler does not clone them. */
#if defined(__x86_64__) && defined(__gnu_linux__)
#    define KERNEL __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#    define KERNEL
#endif

struct context {
    struct gemm *gemm;
    struct room scratch;
    struct room rows;     /* for rounded rows, while the scratch holds something else */
    struct copies copies; /* owned; of weights that are packed late */
    pthread_t caller;     /* the thread whose team has its denormals flushed */
    bool has_caller;
};

static inline struct context *context_of(const struct backend *backend)
{
    return backend->context;
}

/* Prepares the calling thread and its team: denormal numbers count as zero, since one of them slows
 * a product down by a factor of hundreds. Every operation that computes calls it first; false means
 * that an earlier operation failed and nothing should be done. */
bool context_enter(struct backend *backend);

/* Memory for one call, undefined, aligned to a cache line; the next call of it may move it. NULL
 * when there is none, and then the backend has the error. */
float *context_scratch(struct backend *backend, size_t count);

/* The same, of other memory, in bytes. */
char *context_rows(struct backend *backend, size_t size_bytes);

/* How many threads are worth starting for so many numbers. */
static inline int context_parts(const struct backend *backend, int64_t count)
{
    const int64_t worth = count / 8192 + 1;
    return worth < backend->n_threads ? (int)worth : backend->n_threads;
}

/* How many runs of `size` it takes for so many. */
static inline int64_t parts_of(int64_t count, int64_t size)
{
    return (count + size - 1) / size;
}

static inline int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The first entry of part `part` when count entries are split into n_parts runs. */
static inline int64_t part_start(int64_t count, int part, int n_parts)
{
    return count / n_parts * part + (count % n_parts < part ? count % n_parts : part);
}

/* Each file sets the operations it defines. */
void cpu_set_attention(struct backend_ops *ops);
void cpu_set_batch(struct backend_ops *ops);
void cpu_set_elements(struct backend_ops *ops);
void cpu_set_gate(struct backend_ops *ops);
void cpu_set_loss(struct backend_ops *ops);
void cpu_set_lstm(struct backend_ops *ops);
void cpu_set_mask(struct backend_ops *ops);
void cpu_set_matmul(struct backend_ops *ops);
void cpu_set_memory(struct backend_ops *ops);
void cpu_set_moe(struct backend_ops *ops);
void cpu_set_optimizer(struct backend_ops *ops);
void cpu_set_rows(struct backend_ops *ops);
void cpu_set_topk(struct backend_ops *ops);
void cpu_set_update(struct backend_ops *ops);

#endif
