/* Matrices on the device, or on their way to it. */
#include <pthread.h>
#include <stdlib.h>

#include "backend/cuda/slots.h"

enum {
    KEPT_PART = 8, /* one in so many bytes of a device is left to tensors */
    MOST_DEVICES = 64
};

struct slots {
    const char *host; /* borrowed [E][matrix_bytes] */
    int64_t n_matrices;
    size_t matrix_bytes;
    int device;
    pthread_mutex_t lock;
    bool is_placed;
    char *memory; /* owned, on the device [count][matrix_bytes] */
    int64_t count;
    int32_t *slot_of;   /* owned [E]; -1: on the host alone. NULL: all have room, in their order */
    int32_t *matrix_in; /* owned [count]; -1: none */
    int32_t *starts;    /* owned [E + 1] */
    int64_t *used;      /* owned [count]: the last call of slots_bring() that wanted the slot's */
    int64_t n_calls;
    cudaEvent_t is_read; /* behind the last product of any handle */
};

/* Bytes of all that want room and were not given any, by device. */
static size_t waiting[MOST_DEVICES];
static pthread_mutex_t waiting_lock = PTHREAD_MUTEX_INITIALIZER;

static size_t *waiting_on(const struct slots *slots)
{
    return &waiting[slots->device % MOST_DEVICES];
}

static size_t bytes_of(const struct slots *slots)
{
    return (size_t)slots->n_matrices * slots->matrix_bytes;
}

struct slots *slots_make(struct backend *backend, const void *host, int64_t n_matrices,
                         size_t matrix_bytes)
{
    struct slots *slots = calloc(1, sizeof *slots);
    if (!slots) {
        backend_fail(backend, "no memory for experts");
        return NULL;
    }
    *slots = (struct slots){.host = host,
                            .n_matrices = n_matrices,
                            .matrix_bytes = matrix_bytes,
                            .device = context_of(backend)->device};
    pthread_mutex_init(&slots->lock, NULL);
    pthread_mutex_lock(&waiting_lock);
    *waiting_on(slots) += bytes_of(slots);
    pthread_mutex_unlock(&waiting_lock);
    return slots;
}

static void stop_waiting(struct slots *slots)
{
    pthread_mutex_lock(&waiting_lock);
    *waiting_on(slots) -= slots->is_placed ? 0 : bytes_of(slots);
    pthread_mutex_unlock(&waiting_lock);
    slots->is_placed = true;
}

void slots_free(struct slots *slots)
{
    if (!slots)
        return;
    stop_waiting(slots);
    if (slots->is_read)
        (void)cudaEventDestroy(slots->is_read);
    (void)cudaFree(slots->memory);
    free(slots->slot_of);
    free(slots->matrix_in);
    free(slots->starts);
    free(slots->used);
    pthread_mutex_destroy(&slots->lock);
    free(slots);
}

/* -- finding room -- */

/* How many matrices have room: their part of what is free, by what else waits; one at least. */
static int64_t count_slots(struct backend *backend, const struct slots *slots)
{
    size_t free_bytes = 0, total_bytes = 0;
    context_check(backend, cudaMemGetInfo(&free_bytes, &total_bytes), "free memory");
    const size_t kept = total_bytes / KEPT_PART;
    const double room = free_bytes > kept ? (double)(free_bytes - kept) : 0;
    pthread_mutex_lock(&waiting_lock);
    const double wanted = (double)*waiting_on(slots);
    pthread_mutex_unlock(&waiting_lock);
    if (wanted <= room)
        return slots->n_matrices;
    const int64_t count = (int64_t)((double)slots->n_matrices * (room / wanted));
    return count > 1 ? count : 1;
}

static void make_lists(struct backend *backend, struct slots *slots)
{
    slots->slot_of = malloc((size_t)slots->n_matrices * sizeof *slots->slot_of);
    slots->matrix_in = malloc((size_t)slots->count * sizeof *slots->matrix_in);
    slots->starts = malloc((size_t)(slots->n_matrices + 1) * sizeof *slots->starts);
    slots->used = calloc((size_t)slots->count, sizeof *slots->used);
    if (!slots->slot_of || !slots->matrix_in || !slots->starts || !slots->used) {
        backend_fail(backend, "no memory for %lld matrices", (long long)slots->n_matrices);
        return;
    }
    for (int64_t e = 0; e < slots->n_matrices; e++)
        slots->slot_of[e] = -1;
    for (int64_t i = 0; i < slots->count; i++)
        slots->matrix_in[i] = -1;
    context_check(backend, cudaEventCreateWithFlags(&slots->is_read, cudaEventDisableTiming),
                  "event");
}

static void place(struct backend *backend, struct slots *slots)
{
    const int64_t count = count_slots(backend, slots);
    void *memory = NULL;
    if (backend->error == STATUS_OK)
        context_check(backend, cudaMalloc(&memory, (size_t)count * slots->matrix_bytes),
                      "memory for experts");
    if (backend->error != STATUS_OK)
        return;
    slots->memory = memory;
    slots->count = count;
    stop_waiting(slots);
    if (count < slots->n_matrices) {
        make_lists(backend, slots);
        return;
    }
    context_upload(backend, memory, slots->host, bytes_of(slots));
    /* Other handles' streams read them next. */
    context_check(backend, cudaStreamSynchronize(context_of(backend)->stream), "upload");
}

/* -- using it -- */

const void *slots_begin(struct backend *backend, struct slots *slots)
{
    pthread_mutex_lock(&slots->lock);
    if (!slots->is_placed)
        place(backend, slots);
    if (backend->error != STATUS_OK)
        return NULL;
    if (!slots->slot_of)
        return slots->memory;
    context_check(backend, cudaStreamWaitEvent(context_of(backend)->stream, slots->is_read, 0),
                  "a weight's turn");
    return NULL;
}

void slots_end(struct backend *backend, struct slots *slots)
{
    if (slots->slot_of && slots->is_read)
        context_check(backend, cudaEventRecord(slots->is_read, context_of(backend)->stream),
                      "a weight's turn");
    pthread_mutex_unlock(&slots->lock);
}

/* The slot that was used longest ago; -1 where this call wanted all of them. */
static int32_t oldest(const struct slots *slots)
{
    int64_t found = 0;
    for (int64_t i = 1; i < slots->count; i++)
        if (slots->used[i] < slots->used[found])
            found = i;
    return slots->used[found] == slots->n_calls ? -1 : (int32_t)found;
}

static void move_in(struct backend *backend, struct slots *slots, int64_t matrix, int32_t slot)
{
    const size_t bytes = slots->matrix_bytes;
    if (slots->matrix_in[slot] >= 0)
        slots->slot_of[slots->matrix_in[slot]] = -1;
    slots->matrix_in[slot] = (int32_t)matrix;
    slots->slot_of[matrix] = slot;
    context_upload(backend, slots->memory + (size_t)slot * bytes,
                   slots->host + (size_t)matrix * bytes, bytes);
}

int64_t slots_bring(struct backend *backend, struct slots *slots, const int32_t *starts,
                    int64_t first)
{
    slots->n_calls++;
    for (int64_t e = first; e < slots->n_matrices; e++) {
        if (starts[e + 1] == starts[e])
            continue;
        if (slots->slot_of[e] < 0) {
            const int32_t slot = oldest(slots);
            if (slot < 0)
                return e;
            move_in(backend, slots, e, slot);
        }
        slots->used[slots->slot_of[e]] = slots->n_calls;
    }
    return slots->n_matrices;
}

const void *slots_memory(const struct slots *slots)
{
    return slots->memory;
}

const int32_t *slots_of(const struct slots *slots)
{
    return slots->slot_of;
}

const int32_t *slots_starts(struct slots *slots, const int32_t *starts, int64_t first, int64_t last)
{
    for (int64_t e = first; e <= last; e++)
        slots->starts[e - first] = starts[e] - starts[first];
    return slots->starts;
}
