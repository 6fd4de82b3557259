/* The processor's table: the float reference's, entry by entry replaced; and the handle's state. */
#include "backend/cpu/cpu.h"

#include <stdlib.h>
#if defined(__SSE2__)
#    include <immintrin.h>
#endif

#include "backend/cpu/context.h"
#include "backend/cpu/lane.h"
#include "backend/ref/ref.h"

static void flush_denormals(void)
{
#if defined(__SSE2__)
    const unsigned flush_to_zero = 0x8000, denormals_are_zero = 0x0040;
    _mm_setcsr(_mm_getcsr() | flush_to_zero | denormals_are_zero);
#endif
}

bool context_enter(struct backend *backend)
{
    struct context *context = context_of(backend);
    if (!context->has_caller || !pthread_equal(context->caller, pthread_self())) {
        context->caller = pthread_self();
        context->has_caller = true;
        flush_denormals();
#pragma omp parallel num_threads(backend->n_threads)
        flush_denormals();
    }
    return backend->error == STATUS_OK;
}

float *context_scratch(struct backend *backend, size_t count)
{
    void *memory = room_take(&context_of(backend)->scratch, count * sizeof(float));
    if (!memory)
        backend_fail(backend, "no memory for %zu numbers", count);
    return memory;
}

char *context_rows(struct backend *backend, size_t size_bytes)
{
    char *memory = room_take(&context_of(backend)->rows, size_bytes);
    if (!memory)
        backend_fail(backend, "no memory for rows of %zu bytes", size_bytes);
    return memory;
}

static void cpu_close(struct backend *backend)
{
    struct context *context = context_of(backend);
    if (!context)
        return;
    gemm_close(context->gemm);
    copies_free(&context->copies);
    room_free(&context->scratch);
    room_free(&context->rows);
    free(context);
    backend->context = NULL;
}

/* Nothing is ever in flight. */
static void cpu_sync(struct backend *backend)
{
    (void)backend;
}

static struct backend_ops tables[COMPUTE_AUTO]; /* they differ in their names */

static void make_tables(void)
{
    struct backend_ops table;
    ref_float_set_ops(&table);
    table.close = cpu_close;
    table.sync = cpu_sync;
    cpu_set_attention(&table);
    cpu_set_batch(&table);
    cpu_set_elements(&table);
    cpu_set_gate(&table);
    cpu_set_loss(&table);
    cpu_set_lstm(&table);
    cpu_set_mask(&table);
    cpu_set_matmul(&table);
    cpu_set_memory(&table);
    cpu_set_moe(&table);
    cpu_set_optimizer(&table);
    cpu_set_rows(&table);
    cpu_set_topk(&table);
    cpu_set_update(&table);
    tables[COMPUTE_F32] = tables[COMPUTE_BF16] = tables[COMPUTE_FP16] = table;
    tables[COMPUTE_F32].name = "cpu";
    tables[COMPUTE_BF16].name = "cpu_bf16";
    tables[COMPUTE_FP16].name = "cpu_fp16";
}

/* Older vectors than AVX-512 have no bf16, and oneDNN no product for them; few have fp16. */
static enum status check_compute(struct backend *backend)
{
    if (backend->compute == COMPUTE_FP16)
        return lane_has_half()
                   ? STATUS_OK
                   : status_set(STATUS_CONFIG, "this processor cannot compute in fp16; use f32");
    struct gemm_layout *layout = gemm_layout_open(backend, 32, 32, false);
    gemm_layout_close(layout);
    backend->error = STATUS_OK;
    return layout ? STATUS_OK
                  : status_set(STATUS_CONFIG, "this processor cannot compute in bf16; use f32");
}

enum compute cpu_fastest_compute(void)
{
    return lane_has_amx() ? COMPUTE_BF16 : lane_has_half() ? COMPUTE_FP16 : COMPUTE_F32;
}

enum status cpu_open(struct backend *backend, int n_threads, enum compute compute)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    CHECK(n_threads >= 1, "%d threads", n_threads);
    pthread_once(&once, make_tables);
    struct context *context = calloc(1, sizeof *context);
    if (!context)
        return status_set(STATUS_MEMORY, "no memory for a handle");
    context->gemm = gemm_open(n_threads, compute);
    if (!context->gemm) {
        free(context);
        return STATUS_DEVICE;
    }
    *backend = (struct backend){.ops = &tables[compute],
                                .real = DTYPE_F32,
                                .n_threads = n_threads,
                                .compute = compute,
                                .context = context};
    const enum status status = compute == COMPUTE_F32 ? STATUS_OK : check_compute(backend);
    if (status < 0)
        backend_close(backend);
    return status;
}
