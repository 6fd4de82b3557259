/* oneDNN's matmul and reorder primitives, kept by shape. */
#include "backend/cpu/onednn.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/gemm.h"
#include "backend/cpu/onednn_versions.h"
#include "backend/cpu/room.h"
#include "backend/cpu/signal_hold.h"

enum { BUCKETS = 1024 };

enum kind { KIND_PRODUCT, KIND_GRADIENT, KIND_PACK, KIND_PACK_TRANSPOSED };

/* What code is compiled for; no padding, so that keys can be compared as bytes. */
struct shape {
    int64_t m, n, k;
    int32_t kind, has_bias, activation, accumulate, is_bf16, unused;
};

struct onednn_layout {
    int64_t k, n;
    bool is_bf16, rows_are_free;
    dnnl_memory_desc_t desc; /* owned */
    bool has_desc;
};

enum { SLOT_SOURCE, SLOT_WEIGHTS, SLOT_BIAS, SLOT_TARGET, SLOT_SCRATCHPAD, N_SLOTS };

/* Compiled code and its operands; a pack goes from SLOT_SOURCE to SLOT_TARGET. */
struct compiled {
    struct compiled *next;
    struct shape shape;
    dnnl_memory_desc_t packed; /* of the packed operand; owned; in products and packs */
    bool has_packed;
    dnnl_primitive_t primitive;
    bool is_on_heap;             /* see signal_hold.h */
    dnnl_memory_t slot[N_SLOTS]; /* NULL: not used */
    size_t scratchpad_bytes;
};

struct onednn {
    int n_threads;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    struct compiled *bucket[BUCKETS]; /* owned */
    struct room scratchpad;
    char message[128];
};

bool onednn_allows(enum onednn_isa isa)
{
    static const unsigned wanted[] = {[ONEDNN_AVX2] = dnnl_cpu_isa_avx2,
                                      [ONEDNN_VNNI] = dnnl_cpu_isa_avx512_core_vnni,
                                      [ONEDNN_BF16] = dnnl_cpu_isa_avx512_core_bf16,
                                      [ONEDNN_AMX] = dnnl_cpu_isa_avx512_core_amx};
    return ((unsigned)dnnl_get_effective_cpu_isa() & wanted[isa]) == wanted[isa];
}

struct onednn *onednn_open(int n_threads)
{
    struct onednn *onednn = calloc(1, sizeof *onednn);
    if (!onednn)
        return NULL;
    onednn->n_threads = n_threads;
    if (dnnl_engine_create(&onednn->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&onednn->stream, onednn->engine, dnnl_stream_default_flags) !=
            dnnl_success) {
        onednn_close(onednn);
        return NULL;
    }
    return onednn;
}

static void compiled_free(struct compiled *compiled)
{
    for (int i = 0; i < N_SLOTS; i++)
        if (compiled->slot[i])
            dnnl_memory_destroy(compiled->slot[i]);
    if (compiled->primitive)
        dnnl_primitive_destroy(compiled->primitive);
    if (compiled->has_packed)
        desc_free(&compiled->packed);
    free(compiled);
}

void onednn_close(struct onednn *onednn)
{
    if (!onednn)
        return;
    for (int i = 0; i < BUCKETS; i++)
        while (onednn->bucket[i]) {
            struct compiled *next = onednn->bucket[i]->next;
            compiled_free(onednn->bucket[i]);
            onednn->bucket[i] = next;
        }
    if (onednn->stream)
        dnnl_stream_destroy(onednn->stream);
    if (onednn->engine)
        dnnl_engine_destroy(onednn->engine);
    room_free(&onednn->scratchpad);
    free(onednn);
}

const char *onednn_message(const struct onednn *onednn)
{
    return onednn->message;
}

/* -- compiling -- */

/* The batch-reduced kernels: they sum a row's products in one order whatever the rows are, and work
 * on the stack alone. */
static bool is_batch_reduced(const_dnnl_primitive_desc_t description)
{
    const char *name = "";
    return dnnl_primitive_desc_query(description, dnnl_query_impl_info_str, 0, &name) ==
               dnnl_success &&
           strncmp(name, "brg", 3) == 0;
}

static dnnl_data_type_t operand_type(const struct shape *shape)
{
    return shape->is_bf16 ? dnnl_bf16 : dnnl_f32;
}

static bool make_slot(struct onednn *onednn, struct compiled *compiled, int slot,
                      const dnnl_memory_desc_t *desc)
{
    return dnnl_memory_create(&compiled->slot[slot], DESC(*desc), onednn->engine,
                              DNNL_MEMORY_NONE) == dnnl_success;
}

/* The primitive of a description, and the scratchpad it asks for. */
static bool make_primitive(struct onednn *onednn, struct compiled *compiled,
                           const_dnnl_primitive_desc_t description)
{
    dnnl_memory_desc_t scratchpad;
    if (dnnl_primitive_create(&compiled->primitive, description) != dnnl_success ||
        !desc_query(&scratchpad, description, dnnl_query_scratchpad_md))
        return false;
    compiled->scratchpad_bytes = dnnl_memory_desc_get_size(DESC(scratchpad));
    const bool is_made = compiled->scratchpad_bytes == 0 ||
                         make_slot(onednn, compiled, SLOT_SCRATCHPAD, &scratchpad);
    desc_free(&scratchpad);
    return is_made;
}

/* Descriptions of a matmul's operands; the packed one only when it is given. */
static bool describe_operands(struct matmul_desc *desc, const struct shape *s)
{
    const bool is_gradient = s->kind == KIND_GRADIENT;
    const dnnl_data_type_t type = operand_type(s);
    desc->has_bias = s->has_bias;
    return desc_matrix(&desc->source, type, s->m, s->k, is_gradient ? 1 : s->k,
                       is_gradient ? s->m : 1) &&
           (!is_gradient || desc_matrix(&desc->weights, type, s->k, s->n, s->n, 1)) &&
           (!s->has_bias || desc_matrix(&desc->bias, dnnl_f32, 1, s->n, s->n, 1)) &&
           desc_matrix(&desc->target, dnnl_f32, s->m, s->n, s->n, 1);
}

static bool make_attributes(dnnl_primitive_attr_t *attributes, const struct shape *shape)
{
    dnnl_post_ops_t post_ops = NULL;
    if (dnnl_primitive_attr_create(attributes) != dnnl_success)
        return false;
    const bool is_made = dnnl_primitive_attr_set_scratchpad_mode(
                             *attributes, dnnl_scratchpad_mode_user) == dnnl_success &&
                         dnnl_post_ops_create(&post_ops) == dnnl_success &&
                         append_end(post_ops, shape->accumulate, shape->activation) &&
                         dnnl_primitive_attr_set_post_ops(*attributes, post_ops) == dnnl_success;
    if (post_ops)
        dnnl_post_ops_destroy(post_ops);
    return is_made;
}

static bool compile_matmul(struct onednn *onednn, struct compiled *compiled,
                           const dnnl_memory_desc_t *packed)
{
    const struct shape *shape = &compiled->shape;
    struct matmul_desc desc;
    memset(&desc, 0, sizeof desc);
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t description = NULL;
    bool is_made =
        describe_operands(&desc, shape) &&
        (!packed || (desc_copy(&desc.weights, packed) && desc_copy(&compiled->packed, packed)));
    compiled->has_packed = packed && is_made;
    is_made = is_made && make_attributes(&attributes, shape) &&
              describe_matmul(&description, onednn->engine, &desc, attributes) &&
              make_primitive(onednn, compiled, description) &&
              make_slot(onednn, compiled, SLOT_SOURCE, &desc.source) &&
              make_slot(onednn, compiled, SLOT_WEIGHTS, &desc.weights) &&
              (!shape->has_bias || make_slot(onednn, compiled, SLOT_BIAS, &desc.bias)) &&
              make_slot(onednn, compiled, SLOT_TARGET, &desc.target);
    compiled->is_on_heap = is_made && !is_batch_reduced(description);
    if (description)
        dnnl_primitive_desc_destroy(description);
    if (attributes)
        dnnl_primitive_attr_destroy(attributes);
    matmul_desc_free(&desc);
    return is_made;
}

static bool compile_pack(struct onednn *onednn, struct compiled *compiled,
                         const dnnl_memory_desc_t *packed)
{
    const struct shape *s = &compiled->shape;
    const bool is_transposed = s->kind == KIND_PACK_TRANSPOSED;
    dnnl_memory_desc_t source;
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t description = NULL;
    if (!desc_matrix(&source, dnnl_f32, s->k, s->n, is_transposed ? 1 : s->n,
                     is_transposed ? s->k : 1))
        return false;
    bool is_made = desc_copy(&compiled->packed, packed);
    compiled->has_packed = is_made;
    is_made = is_made && make_attributes(&attributes, s) &&
              dnnl_reorder_primitive_desc_create(&description, DESC(source), onednn->engine,
                                                 DESC(compiled->packed), onednn->engine,
                                                 attributes) == dnnl_success &&
              make_primitive(onednn, compiled, description) &&
              make_slot(onednn, compiled, SLOT_SOURCE, &source) &&
              make_slot(onednn, compiled, SLOT_TARGET, &compiled->packed);
    if (description)
        dnnl_primitive_desc_destroy(description);
    if (attributes)
        dnnl_primitive_attr_destroy(attributes);
    desc_free(&source);
    return is_made;
}

static size_t bucket_of(const struct shape *shape)
{
    uint64_t hash = 14695981039346656037u;
    const int64_t words[] = {shape->m,        shape->n,          shape->k,          shape->kind,
                             shape->has_bias, shape->activation, shape->accumulate, shape->is_bf16};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        hash = (hash ^ (uint64_t)words[i]) * 1099511628211u;
    return (size_t)(hash >> 32) % BUCKETS;
}

/* The code for a shape, compiled when it is met first; NULL when oneDNN refuses. */
static struct compiled *find(struct onednn *onednn, const struct shape *shape,
                             const dnnl_memory_desc_t *packed)
{
    struct compiled **bucket = &onednn->bucket[bucket_of(shape)];
    for (struct compiled *c = *bucket; c; c = c->next)
        if (memcmp(&c->shape, shape, sizeof *shape) == 0 &&
            (!packed || dnnl_memory_desc_equal(DESC(c->packed), DESC(*packed))))
            return c;
    struct compiled *compiled = calloc(1, sizeof *compiled);
    if (compiled) {
        compiled->shape = *shape;
        const bool is_matmul = shape->kind == KIND_PRODUCT || shape->kind == KIND_GRADIENT;
        if (is_matmul ? compile_matmul(onednn, compiled, packed)
                      : compile_pack(onednn, compiled, packed)) {
            compiled->next = *bucket;
            *bucket = compiled;
            return compiled;
        }
        compiled_free(compiled);
    }
    snprintf(onednn->message, sizeof onednn->message, "oneDNN has no product [%lld, %lld, %lld]",
             (long long)shape->m, (long long)shape->k, (long long)shape->n);
    return NULL;
}

/* -- running -- */

static bool run(struct onednn *onednn, struct compiled *compiled, const void *const data[N_SLOTS])
{
    static const int argument[N_SLOTS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS,
                                          DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD};
    void *const scratchpad = room_take(&onednn->scratchpad, compiled->scratchpad_bytes);
    bool is_done = scratchpad;
    dnnl_exec_arg_t arguments[N_SLOTS];
    int count = 0;
    for (int i = 0; i < N_SLOTS; i++) {
        if (!compiled->slot[i])
            continue;
        const void *place = i == SLOT_SCRATCHPAD ? scratchpad : data[i];
        is_done = is_done && dnnl_memory_set_data_handle(compiled->slot[i],
                                                         (void *)(uintptr_t)place) == dnnl_success;
        arguments[count++] = (dnnl_exec_arg_t){argument[i], compiled->slot[i]};
    }
    sigset_t before;
    if (compiled->is_on_heap)
        signal_hold(&before, onednn->n_threads);
    is_done = is_done && dnnl_primitive_execute(compiled->primitive, onednn->stream, count,
                                                arguments) == dnnl_success;
    if (compiled->is_on_heap)
        signal_release(&before);
    if (!is_done)
        snprintf(onednn->message, sizeof onednn->message,
                 "oneDNN failed in a product [%lld, %lld, %lld]", (long long)compiled->shape.m,
                 (long long)compiled->shape.k, (long long)compiled->shape.n);
    return is_done;
}

/* Finds and runs with as many threads as it was opened for, which oneDNN asks OpenMP for. */
static bool find_and_run(struct onednn *onednn, const struct shape *shape,
                         const dnnl_memory_desc_t *packed, const void *const data[N_SLOTS])
{
    const int before = omp_get_max_threads();
    omp_set_num_threads(onednn->n_threads);
    struct compiled *compiled = find(onednn, shape, packed);
    const bool is_done = compiled && run(onednn, compiled, data);
    omp_set_num_threads(before);
    return is_done;
}

bool onednn_pack(struct onednn *onednn, const struct onednn_layout *layout, void *target,
                 const float *source, bool transposed)
{
    const struct shape shape = {
        .n = layout->n, .k = layout->k, .kind = transposed ? KIND_PACK_TRANSPOSED : KIND_PACK};
    const void *const data[N_SLOTS] = {[SLOT_SOURCE] = source, [SLOT_TARGET] = target};
    return find_and_run(onednn, &shape, &layout->desc, data);
}

bool onednn_product(struct onednn *onednn, const struct onednn_layout *layout, const void *packed,
                    float *y, const void *x, int64_t rows, const struct gemm_end *end)
{
    const struct shape shape = {.m = rows,
                                .n = layout->n,
                                .k = layout->k,
                                .kind = KIND_PRODUCT,
                                .has_bias = end->bias != NULL,
                                .activation = (int32_t)end->activation,
                                .accumulate = end->accumulate,
                                .is_bf16 = layout->is_bf16};
    const void *const data[N_SLOTS] = {x, packed, end->bias, y};
    return find_and_run(onednn, &shape, &layout->desc, data);
}

bool onednn_gradient(struct onednn *onednn, float *d_w, const void *x, const void *d_y,
                     int64_t rows, int64_t in, int64_t out, bool is_bf16)
{
    const struct shape shape = {.m = in,
                                .n = out,
                                .k = rows,
                                .kind = KIND_GRADIENT,
                                .accumulate = true,
                                .is_bf16 = is_bf16};
    const void *const data[N_SLOTS] = {x, d_y, NULL, d_w};
    return find_and_run(onednn, &shape, NULL, data);
}

bool onednn_gradient_any(struct onednn *onednn, float *d_w, const float *x, const float *d_y,
                         int64_t rows, int64_t in, int64_t out)
{
    const int before = omp_get_max_threads();
    sigset_t signals;
    omp_set_num_threads(onednn->n_threads);
    signal_hold(&signals, onednn->n_threads);
    const bool is_done =
        dnnl_sgemm('T', 'N', in, out, rows, 1, x, in, d_y, out, 1, d_w, out) == dnnl_success;
    signal_release(&signals);
    omp_set_num_threads(before);
    if (!is_done)
        snprintf(onednn->message, sizeof onednn->message,
                 "oneDNN failed in a gradient [%lld, %lld]", (long long)in, (long long)out);
    return is_done;
}

/* -- layouts -- */

/* Asks with a typical number of rows; the answer is the same for all. */
static bool ask_layout(struct onednn *onednn, struct onednn_layout *layout)
{
    const struct shape shape = {
        .m = 64, .n = layout->n, .k = layout->k, .kind = KIND_PRODUCT, .is_bf16 = layout->is_bf16};
    struct matmul_desc desc;
    memset(&desc, 0, sizeof desc);
    dnnl_primitive_attr_t attributes = NULL;
    dnnl_primitive_desc_t description = NULL;
    const bool is_known = describe_operands(&desc, &shape) &&
                          desc_any(&desc.weights, operand_type(&shape), shape.k, shape.n) &&
                          make_attributes(&attributes, &shape) &&
                          describe_matmul(&description, onednn->engine, &desc, attributes) &&
                          desc_query(&layout->desc, description, dnnl_query_weights_md);
    layout->has_desc = is_known;
    layout->rows_are_free = is_known && is_batch_reduced(description);
    if (description)
        dnnl_primitive_desc_destroy(description);
    if (attributes)
        dnnl_primitive_attr_destroy(attributes);
    matmul_desc_free(&desc);
    return is_known;
}

struct onednn_layout *onednn_layout_open(struct onednn *onednn, int64_t k, int64_t n, bool is_bf16)
{
    struct onednn_layout *layout = calloc(1, sizeof *layout);
    if (!layout)
        return NULL;
    *layout = (struct onednn_layout){.k = k, .n = n, .is_bf16 = is_bf16};
    if (ask_layout(onednn, layout))
        return layout;
    onednn_layout_close(layout);
    return NULL;
}

void onednn_layout_close(struct onednn_layout *layout)
{
    if (layout && layout->has_desc)
        desc_free(&layout->desc);
    free(layout);
}

size_t onednn_layout_bytes(const struct onednn_layout *layout)
{
    return dnnl_memory_desc_get_size(DESC(layout->desc));
}

bool onednn_rows_are_free(const struct onednn_layout *layout)
{
    return layout->rows_are_free;
}
