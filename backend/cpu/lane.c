/* oneDNN's matmul and reorder primitives, kept by shape. */
#include "backend/cpu/lane.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/amx.h"
#include "backend/cpu/context.h"
#include "backend/cpu/half.h"
#include "backend/cpu/onednn.h"
#include "backend/cpu/signal_hold.h"

enum { BUCKETS = 1024 };
enum { BF16_ROWS = 32 }; /* of a gradient, filled up with zeros: what one AMX instruction sums */

enum kind { KIND_PRODUCT, KIND_GRADIENT, KIND_PACK, KIND_PACK_TRANSPOSED };

/* What code is compiled for; no padding, so that keys can be compared as bytes. */
struct shape {
    int64_t m, n, k;
    int32_t kind, has_bias, activation, accumulate, is_bf16, unused;
};

struct gemm_layout {
    int64_t k, n;
    size_t size_bytes;
    bool rows_are_free;
    bool is_bf16;
    bool is_amx, is_half;    /* packed by amx.c or half.c, and then without a description */
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

struct lane {
    int n_threads;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    struct compiled *bucket[BUCKETS]; /* owned */
    char *scratchpad;                 /* owned; oneDNN's working memory */
    size_t scratchpad_bytes;
    float *scratch; /* owned; see lane_scratch() */
    size_t scratch_count;
    char *room; /* owned; see lane_room() */
    size_t room_bytes;
    uint16_t *rounded; /* owned; operands in bf16 or fp16 */
    size_t rounded_bytes;
    char message[128];
};

/* -- the lane -- */

bool lane_has_amx(void)
{
    const unsigned isa = dnnl_get_effective_cpu_isa(), amx = dnnl_cpu_isa_avx512_core_amx;
    return (isa & amx) == amx && amx_is_there();
}

bool lane_has_half(void)
{
    /* oneDNN has no name for it; what has it has bf16. */
    const unsigned isa = dnnl_get_effective_cpu_isa(), bf16 = dnnl_cpu_isa_avx512_core_bf16;
    return (isa & bf16) == bf16 && half_is_there();
}

enum lane_vectors lane_best_vectors(void)
{
    static const unsigned wanted[] = {[LANE_AVX2] = dnnl_cpu_isa_avx2,
                                      [LANE_VNNI] = dnnl_cpu_isa_avx512_core_vnni,
                                      [LANE_AMX] = dnnl_cpu_isa_avx512_core_amx};
    const unsigned isa = dnnl_get_effective_cpu_isa();
    enum lane_vectors vectors = LANE_AMX;
    while (vectors > LANE_PLAIN && (isa & wanted[vectors]) != wanted[vectors])
        vectors--;
    return vectors;
}

struct lane *lane_open(int n_threads)
{
    struct lane *lane = calloc(1, sizeof *lane);
    if (!lane)
        return NULL;
    lane->n_threads = n_threads;
    if (dnnl_engine_create(&lane->engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&lane->stream, lane->engine, dnnl_stream_default_flags) !=
            dnnl_success) {
        lane_close(lane);
        return NULL;
    }
    return lane;
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

void lane_close(struct lane *lane)
{
    if (!lane)
        return;
    for (int i = 0; i < BUCKETS; i++)
        while (lane->bucket[i]) {
            struct compiled *next = lane->bucket[i]->next;
            compiled_free(lane->bucket[i]);
            lane->bucket[i] = next;
        }
    if (lane->stream)
        dnnl_stream_destroy(lane->stream);
    if (lane->engine)
        dnnl_engine_destroy(lane->engine);
    free(lane->scratchpad);
    free(lane->scratch);
    free(lane->room);
    free(lane->rounded);
    free(lane);
}

const char *lane_message(const struct lane *lane)
{
    return lane->message;
}

/* Memory that grows in powers of two, so that a rising row of sizes is served by few growths. */
static void *grow(void *memory, size_t *size_bytes, size_t needed)
{
    if (needed <= *size_bytes)
        return memory;
    size_t size = 4096;
    while (size < needed)
        size *= 2;
    free(memory);
    void *grown = aligned_alloc(ARENA_ALIGNMENT, size);
    *size_bytes = grown ? size : 0;
    return grown;
}

float *lane_scratch(struct lane *lane, size_t count)
{
    size_t size_bytes = lane->scratch_count * sizeof(float);
    lane->scratch = grow(lane->scratch, &size_bytes, count * sizeof(float));
    lane->scratch_count = size_bytes / sizeof(float);
    if (!lane->scratch)
        snprintf(lane->message, sizeof lane->message, "no memory for %zu numbers", count);
    return lane->scratch;
}

void *lane_room(struct lane *lane, size_t size_bytes)
{
    lane->room = grow(lane->room, &lane->room_bytes, size_bytes);
    if (!lane->room)
        snprintf(lane->message, sizeof lane->message, "no memory for %zu bytes", size_bytes);
    return lane->room;
}

bool lane_rows_are_free(const struct gemm_layout *layout)
{
    return layout->rows_are_free;
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

static bool make_slot(struct lane *lane, struct compiled *compiled, int slot,
                      const dnnl_memory_desc_t *desc)
{
    return dnnl_memory_create(&compiled->slot[slot], DESC(*desc), lane->engine, DNNL_MEMORY_NONE) ==
           dnnl_success;
}

/* The primitive of a description, and the scratchpad it asks for. */
static bool make_primitive(struct lane *lane, struct compiled *compiled,
                           const_dnnl_primitive_desc_t description)
{
    dnnl_memory_desc_t scratchpad;
    if (dnnl_primitive_create(&compiled->primitive, description) != dnnl_success ||
        !desc_query(&scratchpad, description, dnnl_query_scratchpad_md))
        return false;
    compiled->scratchpad_bytes = dnnl_memory_desc_get_size(DESC(scratchpad));
    const bool is_made =
        compiled->scratchpad_bytes == 0 || make_slot(lane, compiled, SLOT_SCRATCHPAD, &scratchpad);
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

static bool compile_matmul(struct lane *lane, struct compiled *compiled,
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
              describe_matmul(&description, lane->engine, &desc, attributes) &&
              make_primitive(lane, compiled, description) &&
              make_slot(lane, compiled, SLOT_SOURCE, &desc.source) &&
              make_slot(lane, compiled, SLOT_WEIGHTS, &desc.weights) &&
              (!shape->has_bias || make_slot(lane, compiled, SLOT_BIAS, &desc.bias)) &&
              make_slot(lane, compiled, SLOT_TARGET, &desc.target);
    compiled->is_on_heap = is_made && !is_batch_reduced(description);
    if (description)
        dnnl_primitive_desc_destroy(description);
    if (attributes)
        dnnl_primitive_attr_destroy(attributes);
    matmul_desc_free(&desc);
    return is_made;
}

static bool compile_pack(struct lane *lane, struct compiled *compiled,
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
              dnnl_reorder_primitive_desc_create(&description, DESC(source), lane->engine,
                                                 DESC(compiled->packed), lane->engine,
                                                 attributes) == dnnl_success &&
              make_primitive(lane, compiled, description) &&
              make_slot(lane, compiled, SLOT_SOURCE, &source) &&
              make_slot(lane, compiled, SLOT_TARGET, &compiled->packed);
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
static struct compiled *find(struct lane *lane, const struct shape *shape,
                             const dnnl_memory_desc_t *packed)
{
    struct compiled **bucket = &lane->bucket[bucket_of(shape)];
    for (struct compiled *c = *bucket; c; c = c->next)
        if (memcmp(&c->shape, shape, sizeof *shape) == 0 &&
            (!packed || dnnl_memory_desc_equal(DESC(c->packed), DESC(*packed))))
            return c;
    struct compiled *compiled = calloc(1, sizeof *compiled);
    if (compiled) {
        compiled->shape = *shape;
        const bool is_matmul = shape->kind == KIND_PRODUCT || shape->kind == KIND_GRADIENT;
        if (is_matmul ? compile_matmul(lane, compiled, packed)
                      : compile_pack(lane, compiled, packed)) {
            compiled->next = *bucket;
            *bucket = compiled;
            return compiled;
        }
        compiled_free(compiled);
    }
    snprintf(lane->message, sizeof lane->message, "oneDNN has no product [%lld, %lld, %lld]",
             (long long)shape->m, (long long)shape->k, (long long)shape->n);
    return NULL;
}

/* -- running -- */

static bool run(struct lane *lane, struct compiled *compiled, const void *const data[N_SLOTS])
{
    static const int argument[N_SLOTS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_BIAS,
                                          DNNL_ARG_DST, DNNL_ARG_SCRATCHPAD};
    lane->scratchpad = grow(lane->scratchpad, &lane->scratchpad_bytes, compiled->scratchpad_bytes);
    bool is_done = lane->scratchpad || compiled->scratchpad_bytes == 0;
    dnnl_exec_arg_t arguments[N_SLOTS];
    int count = 0;
    for (int i = 0; i < N_SLOTS; i++) {
        if (!compiled->slot[i])
            continue;
        const void *place = i == SLOT_SCRATCHPAD ? lane->scratchpad : data[i];
        is_done = is_done && dnnl_memory_set_data_handle(compiled->slot[i],
                                                         (void *)(uintptr_t)place) == dnnl_success;
        arguments[count++] = (dnnl_exec_arg_t){argument[i], compiled->slot[i]};
    }
    sigset_t before;
    if (compiled->is_on_heap)
        signal_hold(&before, lane->n_threads);
    is_done = is_done && dnnl_primitive_execute(compiled->primitive, lane->stream, count,
                                                arguments) == dnnl_success;
    if (compiled->is_on_heap)
        signal_release(&before);
    if (!is_done)
        snprintf(lane->message, sizeof lane->message,
                 "oneDNN failed in a product [%lld, %lld, %lld]", (long long)compiled->shape.m,
                 (long long)compiled->shape.k, (long long)compiled->shape.n);
    return is_done;
}

/* Finds and runs with the lane's number of threads, which oneDNN asks OpenMP for. */
static bool find_and_run(struct lane *lane, const struct shape *shape,
                         const dnnl_memory_desc_t *packed, const void *const data[N_SLOTS])
{
    const int before = omp_get_max_threads();
    omp_set_num_threads(lane->n_threads);
    struct compiled *compiled = find(lane, shape, packed);
    const bool is_done = compiled && run(lane, compiled, data);
    omp_set_num_threads(before);
    return is_done;
}

static uint16_t *rounded_memory(struct lane *lane, size_t count)
{
    lane->rounded = grow(lane->rounded, &lane->rounded_bytes, count * sizeof *lane->rounded);
    if (!lane->rounded)
        snprintf(lane->message, sizeof lane->message, "no memory for %zu numbers", count);
    return lane->rounded;
}

/* Rounds to the nearest bf16, ties to even. What is not a number stays so. */
KERNEL static void round_run(uint16_t *target, const float *source, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, source + i, sizeof bits);
        const uint32_t nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
        target[i] = (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : nearest);
    }
}

/* Rounds `count` numbers on the lane's threads, and fills up with zeros to `filled`. */
static void round_to_bf16(const struct lane *lane, uint16_t *target, const float *source,
                          int64_t count, int64_t filled)
{
    const int64_t worth = count / 16384 + 1;
    const int n_parts = worth < lane->n_threads ? (int)worth : lane->n_threads;
#pragma omp parallel for num_threads(n_parts) schedule(static) if (n_parts > 1)
    for (int part = 0; part < n_parts; part++) {
        const int64_t first = part_start(count, part, n_parts);
        round_run(target + first, source + first, part_start(count, part + 1, n_parts) - first);
    }
    memset(target + count, 0, (size_t)(filled - count) * sizeof *target);
}

static const uint16_t *round_rows(struct lane *lane, const float *x, int64_t rows, int64_t k)
{
    uint16_t *rounded = rounded_memory(lane, (size_t)(rows * k));
    if (rounded)
        round_to_bf16(lane, rounded, x, rows * k, rows * k);
    return rounded;
}

bool lane_product(struct lane *lane, const struct gemm_layout *layout, const void *packed, float *y,
                  const float *x, int64_t rows, struct gemm_end end)
{
    if (layout->is_amx) {
        void *memory = rounded_memory(lane, amx_product_bytes(layout->k, lane->n_threads) / 2);
        if (memory)
            amx_product(memory, packed, y, x, rows, layout->k, layout->n, &end, lane->n_threads);
        return memory;
    }
    if (layout->is_half) {
        void *memory = rounded_memory(lane, half_product_bytes(layout->k, lane->n_threads) / 2);
        if (memory)
            half_product(memory, packed, y, x, rows, layout->k, layout->n, &end, lane->n_threads);
        return memory;
    }
    const struct shape shape = {.m = rows,
                                .n = layout->n,
                                .k = layout->k,
                                .kind = KIND_PRODUCT,
                                .has_bias = end.bias != NULL,
                                .activation = (int32_t)end.activation,
                                .accumulate = end.accumulate,
                                .is_bf16 = layout->is_bf16};
    const void *source = x;
    if (layout->is_bf16)
        source = round_rows(lane, x, rows, layout->k);
    const void *const data[N_SLOTS] = {source, packed, end.bias, y};
    return source && find_and_run(lane, &shape, &layout->desc, data);
}

bool lane_gradient_bf16(struct lane *lane, float *d_w, const float *x, const float *d_y,
                        int64_t rows, int64_t in, int64_t out)
{
    const int64_t filled = (rows + BF16_ROWS - 1) / BF16_ROWS * BF16_ROWS;
    const struct shape shape = {
        .m = in, .n = out, .k = filled, .kind = KIND_GRADIENT, .accumulate = true, .is_bf16 = true};
    uint16_t *rounded = rounded_memory(lane, (size_t)(filled * (in + out)));
    if (!rounded)
        return false;
    uint16_t *rounded_y = rounded + filled * in;
    round_to_bf16(lane, rounded, x, rows * in, filled * in);
    round_to_bf16(lane, rounded_y, d_y, rows * out, filled * out);
    const void *const data[N_SLOTS] = {rounded, rounded_y, NULL, d_w};
    return find_and_run(lane, &shape, NULL, data);
}

bool lane_gradient_amx(struct lane *lane, float *d_w, const float *x, const float *d_y,
                       int64_t rows, int64_t in, int64_t out)
{
    void *memory = rounded_memory(lane, amx_gradient_bytes(lane->n_threads) / 2);
    if (memory)
        amx_gradient(memory, d_w, x, d_y, rows, in, out, lane->n_threads);
    return memory;
}

bool lane_gradient_half(struct lane *lane, float *d_w, const float *x, const float *d_y,
                        int64_t rows, int64_t in, int64_t out)
{
    void *memory = rounded_memory(lane, half_gradient_bytes(lane->n_threads) / 2);
    if (memory)
        half_gradient(memory, d_w, x, d_y, rows, in, out, lane->n_threads);
    return memory;
}

bool lane_gradient(struct lane *lane, float *d_w, const float *x, const float *d_y, int64_t rows,
                   int64_t in, int64_t out)
{
    const struct shape shape = {
        .m = in, .n = out, .k = rows, .kind = KIND_GRADIENT, .accumulate = true};
    const void *const data[N_SLOTS] = {x, d_y, NULL, d_w};
    return find_and_run(lane, &shape, NULL, data);
}

bool lane_gradient_any(struct lane *lane, float *d_w, const float *x, const float *d_y,
                       int64_t rows, int64_t in, int64_t out)
{
    const int before = omp_get_max_threads();
    sigset_t signals;
    omp_set_num_threads(lane->n_threads);
    signal_hold(&signals, lane->n_threads);
    const bool is_done =
        dnnl_sgemm('T', 'N', in, out, rows, 1, x, in, d_y, out, 1, d_w, out) == dnnl_success;
    signal_release(&signals);
    omp_set_num_threads(before);
    if (!is_done)
        snprintf(lane->message, sizeof lane->message, "oneDNN failed in a gradient [%lld, %lld]",
                 (long long)in, (long long)out);
    return is_done;
}

bool lane_pack(struct lane *lane, const struct gemm_layout *layout, void *target,
               const float *source, bool transposed)
{
    if (layout->is_amx) {
        amx_pack(target, source, transposed, layout->k, layout->n, lane->n_threads);
        return true;
    }
    if (layout->is_half) {
        half_pack(target, source, transposed, layout->k, layout->n, lane->n_threads);
        return true;
    }
    const struct shape shape = {
        .n = layout->n, .k = layout->k, .kind = transposed ? KIND_PACK_TRANSPOSED : KIND_PACK};
    const void *const data[N_SLOTS] = {[SLOT_SOURCE] = source, [SLOT_TARGET] = target};
    return find_and_run(lane, &shape, &layout->desc, data);
}

/* -- layouts -- */

/* Asks with a typical number of rows; the answer is the same for all. */
static bool ask_layout(struct lane *lane, struct gemm_layout *layout)
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
                          describe_matmul(&description, lane->engine, &desc, attributes) &&
                          desc_query(&layout->desc, description, dnnl_query_weights_md);
    layout->has_desc = is_known;
    layout->rows_are_free = is_known && is_batch_reduced(description);
    layout->size_bytes = is_known ? dnnl_memory_desc_get_size(DESC(layout->desc)) : 0;
    if (description)
        dnnl_primitive_desc_destroy(description);
    if (attributes)
        dnnl_primitive_attr_destroy(attributes);
    matmul_desc_free(&desc);
    return is_known;
}

struct gemm_layout *lane_choose_layout(struct lane *lane, int64_t k, int64_t n,
                                       enum compute compute)
{
    struct gemm_layout *layout = calloc(1, sizeof *layout);
    if (!layout)
        return NULL;
    layout->k = k;
    layout->n = n;
    layout->is_bf16 = compute == COMPUTE_BF16;
    layout->is_amx = compute == COMPUTE_BF16 && lane_has_amx();
    layout->is_half = compute == COMPUTE_FP16;
    if (layout->is_amx || layout->is_half) {
        layout->rows_are_free = true;
        layout->size_bytes = (layout->is_amx ? amx_packed_bytes : half_packed_bytes)(k, n);
        return layout;
    }
    if (ask_layout(lane, layout))
        return layout;
    gemm_layout_close(layout);
    return NULL;
}

void gemm_layout_close(struct gemm_layout *layout)
{
    if (layout && layout->has_desc)
        desc_free(&layout->desc);
    free(layout);
}

size_t gemm_layout_bytes(const struct gemm_layout *layout)
{
    return (layout->size_bytes + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
}

int64_t gemm_layout_k(const struct gemm_layout *layout)
{
    return layout->k;
}

int64_t gemm_layout_n(const struct gemm_layout *layout)
{
    return layout->n;
}
