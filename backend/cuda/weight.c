/* Weights' copies: in bf16 where products read that, and of blocks in int8, which lie on the host.
 * A copy serves both forms. */
#include <stdlib.h>

#include "backend/cuda/weight.h"

#include "backend/cuda/kernels.h"

static struct packed_weight *packed_of(struct backend *backend, struct weight *weight)
{
    if (!weight->packed)
        weight->packed = calloc(1, sizeof(struct packed_weight));
    if (!weight->packed)
        backend_fail(backend, "no memory for a packed weight");
    return weight->packed;
}

static void pack_blocks(struct backend *backend, struct weight *weight,
                        struct packed_weight *packed)
{
    const size_t size = (size_t)tensor_count(&weight->blocks);
    const struct tensor *value = &weight->value;
    if (packed->blocks || packed->slots || size == 0)
        return;
    if (value->rank == 3) {
        packed->slots =
            slots_make(backend, weight->blocks.data, value->dim[0], size / (size_t)value->dim[0]);
        return;
    }
    context_check(backend, cudaMalloc(&packed->blocks, size), "memory for a weight in int8");
    if (backend->error == STATUS_OK)
        context_upload(backend, packed->blocks, weight->blocks.data, size);
}

/* Reals that stay on the host. */
static void pack_host(struct backend *backend, const struct weight *weight,
                      struct packed_weight *packed)
{
    const struct tensor *value = &weight->value;
    const size_t size = (size_t)tensor_count(value) * sizeof(float);
    CHECK(value->rank == 3 && !value->data && backend->compute != COMPUTE_BF16,
          "a weight of rank %d on the host", value->rank);
    if (!packed->slots && size > 0)
        packed->slots =
            slots_make(backend, weight->host, value->dim[0], size / (size_t)value->dim[0]);
}

static void pack_bf16(struct backend *backend, const struct tensor *value,
                      struct packed_weight *packed)
{
    const int64_t count = tensor_count(value);
    if (!packed->bf16)
        context_check(backend, cudaMalloc(&packed->bf16, (size_t)count * 2),
                      "memory for a weight in bf16");
    if (backend->error == STATUS_OK)
        context_check(
            backend,
            launch_to_bf16(context_of(backend)->stream, packed->bf16, floats(value), count),
            "weight_pack");
}

static void cuda_weight_pack(struct backend *backend, struct weight *weight, int forms)
{
    const bool is_first = !weight->packed;
    if (!context_enter(backend))
        return;
    struct packed_weight *packed = packed_of(backend, weight);
    if (!packed)
        return;
    if (is_first)
        packed->is_exact = (forms & PACK_EXACT) != 0;
    weight->is_packed[0] |= (forms & PACK_PLAIN) != 0;
    weight->is_packed[1] |= (forms & PACK_TRANSPOSED) != 0;
    if (weight->blocks.rank)
        pack_blocks(backend, weight, packed);
    else if (weight->host)
        pack_host(backend, weight, packed);
    else if (backend->compute == COMPUTE_BF16 && !packed->is_exact &&
             tensor_count(&weight->value) > 0)
        pack_bf16(backend, &weight->value, packed);
}

static void cuda_weight_free(struct backend *backend, struct weight *weight)
{
    struct packed_weight *packed = weight->packed;
    if (packed) {
        (void)cudaSetDevice(context_of(backend)->device);
        (void)cudaFree(packed->bf16);
        (void)cudaFree(packed->blocks);
        slots_free(packed->slots);
    }
    free(packed);
    weight->packed = NULL;
    weight->is_packed[0] = weight->is_packed[1] = false;
}

void cuda_set_weight(struct backend_ops *ops)
{
    ops->weight_pack = cuda_weight_pack;
    ops->weight_free = cuda_weight_free;
}
