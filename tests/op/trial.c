/* Running one call on several backends, comparing and timing. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "backend/quantize.h"
#include "base/clock.h"
#include "tests/op/op.h"

/* As numbers, guards are so large that who reads them shows it: 3e38 in f32. */
enum { GUARD_BYTES = 64, GUARD = 0x7F };

const int64_t row_counts[N_ROW_COUNTS] = {0, 1, 3, 7, 17, 31, 32, 33, 64, 65, 255, 1025};

/* -- drawing -- */

/* Made once a seed: drawing took most of a run. A prime number of them, so that rows of no shape
 * repeat each other. */
enum { N_NORMALS = 65521 };

void seed_checker(struct checker *checker, uint64_t seed)
{
    checker->seed = seed;
    if (!checker->normals)
        checker->normals = arena_take(&checker->arena, N_NORMALS * sizeof *checker->normals);
    for (uint32_t i = 0; i < N_NORMALS; i++) {
        const struct random_key key = {.seed = seed};
        const struct random_words words = random_philox(key, 0, i);
        double normal[2];
        random_normal_pair(words.word[0], words.word[1], normal);
        checker->normals[i] = (float)normal[0];
    }
}

double draw_normal(struct checker *checker)
{
    return (double)checker->normals[checker->n_drawn++ % N_NORMALS];
}

int64_t draw_below(struct checker *checker, int64_t bound)
{
    const struct random_key key = {.seed = checker->seed};
    const struct random_words words = random_philox(key, 1, checker->n_drawn++);
    return (int64_t)random_below(words.word[0], words.word[1], (uint64_t)bound);
}

/* -- building -- */

struct trial trial_of(const struct checker *checker, const char *op,
                      void (*call)(struct backend *, struct tensor *, struct weight *,
                                   const struct trial *))
{
    return (struct trial){.op = op,
                          .call = call,
                          .key = {.seed = 0x123456789abcdef, .step = 7, .stream = 3},
                          .mark = arena_mark(&checker->arena)};
}

static int64_t operand_count(const struct operand *operand)
{
    int64_t count = operand->rank > 0;
    for (int i = 0; i < operand->rank; i++)
        count *= operand->dim[i];
    return count;
}

static struct operand *add(struct checker *checker, struct trial *trial, struct operand operand)
{
    CHECK(trial->n_operands < MAX_OPERANDS, "too many operands");
    if (operand.rank > 0 && operand.dim[0] < 0)
        operand.rank = 0;
    operand.values =
        arena_take_zeroed(&checker->arena, (size_t)operand_count(&operand) * sizeof(double));
    trial->operands[trial->n_operands] = operand;
    return &trial->operands[trial->n_operands++];
}

/* Without the bits that bf16 drops. */
static double cut_to_bf16(double value)
{
    const float narrow = (float)value;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    bits &= 0xffff0000;
    float cut;
    memcpy(&cut, &bits, sizeof cut);
    return cut;
}

double *add_reals(struct checker *checker, struct trial *trial, const char *name, enum use use,
                  double scale, int rank, int64_t d0, int64_t d1, int64_t d2)
{
    const struct operand *operand = add(
        checker, trial, (struct operand){name, use, DTYPE_F32, rank, {d0, d1, d2}, .values = NULL});
    const int64_t count = operand_count(operand);
    for (int64_t i = 0; scale != 0 && i < count; i++)
        operand->values[i] = (float)(scale * draw_normal(checker));
    /* Large numbers of both signs, equal ones, and zero. */
    static const double extreme[] = {60, -60, 20, 20, 20, -20, 0, 0, 1e-6, -1e-6, 8, 8};
    for (int64_t i = 0; checker->is_worst && scale != 0 && i < count && i < 12; i++)
        operand->values[i] = (float)(scale * extreme[i]);
    for (int64_t i = 0; checker->is_bf16 && i < count; i++)
        operand->values[i] = cut_to_bf16(operand->values[i]);
    return operand->values;
}

double *add_ints(struct checker *checker, struct trial *trial, const char *name, enum use use,
                 int64_t bound, int rank, int64_t d0, int64_t d1)
{
    const struct operand *operand =
        add(checker, trial, (struct operand){name, use, DTYPE_I32, rank, {d0, d1}, .values = NULL});
    for (int64_t i = 0; i < operand_count(operand); i++)
        operand->values[i] = (double)draw_below(checker, bound);
    return operand->values;
}

double *add_weight(struct checker *checker, struct trial *trial, const char *name, int rank,
                   int64_t d0, int64_t d1, int64_t d2)
{
    const bool was_worst = checker->is_worst;
    checker->is_worst = false;
    double *values = add_reals(checker, trial, name, USE_IN, 0.1, rank, d0, d1, d2);
    checker->is_worst = was_worst;
    trial->operands[trial->n_operands - 1].is_weight = true;
    return values;
}

double *add_lengths(struct checker *checker, struct trial *trial, int64_t count, int64_t longest,
                    bool descending)
{
    double *values = add_ints(checker, trial, "lengths", USE_IN, longest, 1, count, 0);
    for (int64_t i = 0; i < count; i++)
        values[i] += 1;
    if (count > 0)
        values[0] = (double)longest;
    for (int64_t i = 1; descending && i < count; i++) {
        const double value = values[i];
        int64_t at = i;
        for (; at > 0 && values[at - 1] < value; at--)
            values[at] = values[at - 1];
        values[at] = value;
    }
    return values;
}

double *add_offsets(struct checker *checker, struct trial *trial, int64_t n_groups, int64_t n_rows)
{
    double *values = add_ints(checker, trial, "offsets", USE_IN, 1, 1, n_groups + 1, 0);
    /* Every row draws the better of two groups: some are crowded, and with few rows some empty. */
    for (int64_t n = 0; n < n_rows; n++) {
        const int64_t a = draw_below(checker, n_groups), b = draw_below(checker, n_groups);
        values[(a < b ? a : b) + 1] += 1;
    }
    for (int64_t g = 0; g < n_groups; g++)
        values[g + 1] += values[g];
    return values;
}

double *add_groups(struct checker *checker, struct trial *trial, int64_t n_groups, int64_t n_rows)
{
    if (n_groups > 0)
        return add_offsets(checker, trial, n_groups, n_rows);
    return add_ints(checker, trial, "offsets", USE_IN, 1, 1, -1, 0);
}

void add_permutation(struct checker *checker, struct trial *trial, const char *name, int rank,
                     int64_t d0, int64_t d1, int64_t bound)
{
    const int64_t count = rank == 2 ? d0 * d1 : d0;
    double *values = add_ints(checker, trial, name, USE_IN, 1, rank, d0, d1);
    double *all = arena_take(&checker->arena, (size_t)bound * sizeof *all);
    for (int64_t i = 0; i < bound; i++)
        all[i] = (double)i;
    for (int64_t i = 0; i < count; i++) {
        const int64_t other = i + draw_below(checker, bound - i);
        values[i] = all[other];
        all[other] = all[i];
    }
}

double *add_scale(struct checker *checker, struct trial *trial)
{
    struct operand *operand = &trial->operands[trial->n_operands - 1];
    operand->scale =
        arena_take_zeroed(&checker->arena, (size_t)operand_count(operand) * sizeof(double));
    return operand->scale;
}

const struct tensor *given(const struct tensor *tensor)
{
    return tensor->rank ? tensor : NULL;
}

/* -- running -- */

static char *guard_of(const struct tensor *tensor, int side)
{
    const size_t size = (size_t)tensor_count(tensor) * dtype_size(tensor->dtype);
    return (char *)tensor->data + (side == 0 ? -(int64_t)GUARD_BYTES : (int64_t)size);
}

static double tensor_get(const struct tensor *tensor, int64_t i)
{
    if (tensor->dtype == DTYPE_I32)
        return ((const int32_t *)tensor->data)[i];
    if (tensor->dtype == DTYPE_F64)
        return ((const double *)tensor->data)[i];
    return (double)((const float *)tensor->data)[i];
}

static void tensor_set(const struct tensor *tensor, int64_t i, double value)
{
    if (tensor->dtype == DTYPE_I32)
        ((int32_t *)tensor->data)[i] = (int32_t)value;
    else if (tensor->dtype == DTYPE_F64)
        ((double *)tensor->data)[i] = value;
    else
        ((float *)tensor->data)[i] = (float)value;
}

/* The operand in a backend's type, between guards; what is only written starts as NaN. */
static struct tensor place_operand(struct checker *checker, const struct backend *backend,
                                   const struct operand *operand)
{
    struct tensor tensor = {.rank = operand->rank};
    if (operand->rank == 0)
        return tensor;
    tensor.dtype = operand->dtype == DTYPE_I32 ? DTYPE_I32 : backend->real;
    memcpy(tensor.dim, operand->dim, sizeof tensor.dim);
    const int64_t count = tensor_count(&tensor);
    const size_t size = (size_t)count * dtype_size(tensor.dtype);
    char *memory = arena_take(&checker->arena, size + 2 * GUARD_BYTES);
    memset(memory, GUARD, size + 2 * GUARD_BYTES);
    tensor.data = memory + GUARD_BYTES;
    const bool is_unknown = operand->use == USE_OUT || operand->use == USE_EXACT;
    for (int64_t i = 0; i < count; i++)
        tensor_set(&tensor, i,
                   is_unknown && operand->dtype != DTYPE_I32 ? NAN : operand->values[i]);
    return tensor;
}

/* All operands of a trial on one backend. */
struct placed {
    struct tensor tensors[MAX_OPERANDS]; /* on the host, between guards */
    struct tensor remote[MAX_OPERANDS];  /* what the backend works on: the same, or copies */
    struct weight weights[MAX_OPERANDS];
};

/* Whether a backend has its own memory. */
static bool is_remote(const struct checker *checker, const struct backend *backend)
{
    return checker->is_remote && backend != &checker->ref && backend != &checker->ref64;
}

/* The tensor with its guards, seen as bytes. */
static struct tensor with_guards(const struct tensor *tensor)
{
    const int64_t size = tensor_count(tensor) * (int64_t)dtype_size(tensor->dtype);
    return (struct tensor){.data = (char *)tensor->data - GUARD_BYTES,
                           .dim = {size + 2 * (int64_t)GUARD_BYTES},
                           .rank = 1,
                           .dtype = DTYPE_I8};
}

/* A tensor where the backend can work on it. */
static struct tensor send(struct checker *checker, struct backend *backend,
                          const struct tensor *tensor)
{
    if (tensor->rank == 0 || !is_remote(checker, backend))
        return *tensor;
    const struct tensor bytes = with_guards(tensor);
    const struct tensor there = tensor_like(&checker->device, &bytes);
    struct tensor remote = *tensor;
    remote.data = (char *)there.data + GUARD_BYTES;
    backend->ops->upload(backend, &there, bytes.data, (size_t)bytes.dim[0]);
    return remote;
}

/* What has become of them. */
static void fetch(struct checker *checker, struct backend *backend, const struct trial *trial,
                  const struct placed *placed)
{
    for (int i = 0; i < trial->n_operands && is_remote(checker, backend); i++) {
        if (placed->tensors[i].rank == 0)
            continue;
        const struct tensor here = with_guards(&placed->tensors[i]);
        const struct tensor there = with_guards(&placed->remote[i]);
        backend->ops->download(backend, here.data, &there, (size_t)here.dim[0]);
    }
}

struct weight round_weight(struct checker *checker, struct backend *backend,
                           const struct tensor *value, const float *numbers, bool transposed)
{
    struct weight weight = {.value = *value,
                            .blocks = quantized_blocks(value, transposed),
                            .scales = quantized_scales(value, transposed)};
    const int64_t count = tensor_count(value), n = value->rank == 3 ? value->dim[0] : 1;
    const int64_t in = value->dim[value->rank - (transposed ? 1 : 2)], out = count / n / in;
    weight.blocks = tensor_like(&checker->arena, &weight.blocks);
    weight.scales = tensor_like(&checker->arena, &weight.scales);
    for (int64_t e = 0; e < n; e++)
        CHECK(quantize_matrix((int8_t *)weight.blocks.data + e * quantized_matrix_bytes(in, out),
                              (float *)weight.scales.data + e * out, numbers + e * in * out, in,
                              out, transposed),
              "a weight is not finite");
    weight.value.data = NULL;
    if (is_remote(checker, backend)) {
        const struct tensor scales = weight.scales;
        weight.scales = tensor_like(&checker->device, &scales);
        backend->ops->upload(backend, &weight.scales, scales.data,
                             (size_t)tensor_count(&scales) * sizeof(float));
    }
    backend->ops->weight_pack(backend, &weight, transposed ? PACK_TRANSPOSED : PACK_PLAIN);
    return weight;
}

/* The values of an operand in f32. */
static float *narrow(struct checker *checker, const struct operand *operand)
{
    const int64_t count = operand_count(operand);
    float *numbers = arena_take(&checker->arena, (size_t)count * sizeof *numbers);
    for (int64_t i = 0; i < count; i++)
        numbers[i] = (float)operand->values[i];
    return numbers;
}

static struct placed place(struct checker *checker, struct backend *backend,
                           const struct trial *trial)
{
    struct placed placed = {0};
    for (int i = 0; i < trial->n_operands; i++) {
        placed.tensors[i] = place_operand(checker, backend, &trial->operands[i]);
        placed.remote[i] = send(checker, backend, &placed.tensors[i]);
        if (!trial->operands[i].is_weight || trial->operands[i].rank == 0)
            continue;
        if (trial->int8 != INT8_NONE) {
            placed.weights[i] =
                round_weight(checker, backend, &placed.tensors[i],
                             narrow(checker, &trial->operands[i]), trial->int8 == INT8_TRANSPOSED);
            continue;
        }
        placed.weights[i].value = placed.remote[i];
        backend->ops->weight_pack(backend, &placed.weights[i], PACK_PLAIN | PACK_TRANSPOSED);
    }
    return placed;
}

static void release(struct backend *backend, const struct trial *trial, struct placed *placed)
{
    for (int i = 0; i < trial->n_operands; i++)
        if (trial->operands[i].is_weight)
            backend->ops->weight_free(backend, &placed->weights[i]);
}

/* Places, calls and syncs. */
static struct placed run(struct checker *checker, struct backend *backend,
                         const struct trial *trial)
{
    const size_t mark = arena_mark(&checker->device);
    struct placed placed = place(checker, backend, trial);
    trial->call(backend, placed.remote, placed.weights, trial);
    fetch(checker, backend, trial, &placed);
    if (backend_sync(backend) != STATUS_OK)
        report(checker, trial->op, false, "%s", status_message());
    arena_release(&checker->device, mark);
    release(backend, trial, &placed);
    return placed;
}

void run_trial(struct checker *checker, struct backend *backend, struct trial *trial)
{
    const struct placed placed = run(checker, backend, trial);
    for (int i = 0; i < trial->n_operands; i++)
        for (int64_t n = 0; n < tensor_count(&placed.tensors[i]); n++)
            trial->operands[i].values[n] = tensor_get(&placed.tensors[i], n);
}

struct tensor outcome_of(struct checker *checker, struct backend *backend,
                         const struct trial *trial, int index)
{
    return run(checker, backend, trial).tensors[index];
}

/* -- comparing -- */

void report(struct checker *checker, const char *op, bool is_passed, const char *format, ...)
{
    if (is_passed) {
        checker->n_passed++;
        return;
    }
    checker->n_failed++;
    printf("FAILED %s (seed %llu): ", op, (unsigned long long)checker->seed);
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
}

/* The shapes of all operands, for a report. */
static const char *shapes_of(const struct trial *trial)
{
    static char text[512];
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < trial->n_operands && used < sizeof text - 80; i++) {
        const struct operand *o = &trial->operands[i];
        used += (size_t)snprintf(text + used, sizeof text - used, " %s[", o->name);
        for (int d = 0; d < o->rank; d++)
            used += (size_t)snprintf(text + used, sizeof text - used, d ? ",%lld" : "%lld",
                                     (long long)o->dim[d]);
        used += (size_t)snprintf(text + used, sizeof text - used, "]");
    }
    return text;
}

static bool guards_hold(const struct tensor *tensor)
{
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < GUARD_BYTES; i++)
            if ((unsigned char)guard_of(tensor, side)[i] != GUARD)
                return false;
    return true;
}

/* How far two outcomes are apart, and where most. */
struct distance {
    double nmse;  /* sum of squared errors over that of the wanted numbers */
    double worst; /* largest error over the wanted numbers' rms, or its own number if larger */
    int64_t at;   /* of the worst; -1: equal */
};

/* What f32 cannot hold any more counts as zero. */
static double representable(double value)
{
    return fabs(value) < 1e-37 ? 0 : value;
}

static double rms_of(const struct tensor *tensor)
{
    const int64_t count = tensor_count(tensor);
    double squares = 0;
    for (int64_t i = 0; i < count; i++) {
        const double value = tensor_get(tensor, i);
        squares += isfinite(value) ? value * value : 0;
    }
    return count > 0 ? sqrt(squares / (double)count) : 0;
}

/* How far g is from w, beyond what rounding the summands to f32 may change; see add_scale(). */
static double error_of(double g, double w, double scale)
{
    if (!isfinite(g) || !isfinite(w))
        return INFINITY;
    return fmax(0, fabs(g - w) - 0x1p-24 * scale);
}

static struct distance measure(const struct tensor *got, const struct tensor *wanted,
                               const double *scale)
{
    struct distance distance = {.at = -1};
    const int64_t count = tensor_count(wanted);
    /* Most operands are read alone, and most of the time went into looking at them. */
    if (got->dtype == wanted->dtype &&
        memcmp(got->data, wanted->data, (size_t)count * dtype_size(got->dtype)) == 0)
        return distance;
    const double rms = rms_of(wanted);
    double errors = 0;
    for (int64_t i = 0; i < count; i++) {
        const double g = tensor_get(got, i), w = tensor_get(wanted, i);
        if (representable(g) == representable(w) || (isnan(g) && isnan(w)))
            continue;
        const double error = error_of(g, w, scale ? scale[i] : 0);
        const double relative = error / ((fabs(w) > rms ? fabs(w) : rms) + 1e-300);
        errors += error * error;
        if (distance.at < 0 || relative > distance.worst || isnan(relative)) {
            distance.at = i;
            distance.worst = isnan(relative) ? INFINITY : relative;
        }
    }
    if (distance.at >= 0)
        distance.nmse = errors / (rms * rms * (double)count + 1e-300);
    return distance;
}

struct bounds {
    double nmse, worst;
};

static bool begins(const char *text, const char *beginning)
{
    return strncmp(text, beginning, strlen(beginning)) == 0;
}

static struct bounds bounds_of(const struct checker *checker, const struct trial *trial)
{
    static const char *const products[] = {"linear", "grouped_linear", "product_adam"};
    const bool is_rounded = checker->is_bf16 || checker->is_fp16 || trial->int8 != INT8_NONE;
    /* An LSTM's products read, and round, what others of them gave. */
    if (is_rounded && begins(trial->op, "lstm_"))
        return (struct bounds){1e-4, 0.1};
    /* Sums of 64 terms have 11 bits, as each of them has: together an error of 1.3e-3 or so. */
    for (int i = 0; checker->is_fp16 && i < 3; i++)
        if (begins(trial->op, products[i]))
            return (struct bounds){1e-5, 0.05};
    return (struct bounds){1e-11, 2e-5};
}

static void compare_operand(struct checker *checker, const struct trial *trial, int index,
                            const struct tensor *got, const struct tensor *wanted, const char *who)
{
    const struct operand *operand = &trial->operands[index];
    if (!guards_hold(got)) {
        report(checker, trial->op, false, "%s writes outside of %s;%s", who, operand->name,
               shapes_of(trial));
        return;
    }
    if (operand->use == USE_SCRATCH)
        return;
    const struct distance d = measure(got, wanted, operand->scale);
    const bool is_exact = operand->use == USE_IN || operand->use == USE_EXACT ||
                          operand->dtype == DTYPE_I32 || trial->is_exact;
    const struct bounds bounds = bounds_of(checker, trial);
    const bool is_passed = is_exact ? d.at < 0 : d.nmse <= bounds.nmse && d.worst <= bounds.worst;
    if (is_passed)
        return;
    report(checker, trial->op, false, "%s %s[%lld] = %.9g, wanted %.9g; nmse %.2g, worst %.2g;%s",
           who, operand->name, (long long)d.at, tensor_get(got, d.at), tensor_get(wanted, d.at),
           d.nmse, d.worst, shapes_of(trial));
}

/* Compares one handle with what is wanted, and, to the bit, with the handle before: the number of
 * threads may change nothing. */
static struct placed compare(struct checker *checker, int handle, const struct trial *trial,
                             const struct placed *wanted, const struct placed *before)
{
    struct backend *backend = &checker->handles[handle];
    char who[64];
    snprintf(who, sizeof who, "%s with %d thread%s:", backend->ops->name, backend->n_threads,
             backend->n_threads == 1 ? "" : "s");
    const int n_failed = checker->n_failed;
    const struct placed got = run(checker, backend, trial);
    for (int i = 0; i < trial->n_operands; i++) {
        const struct operand *operand = &trial->operands[i];
        const struct tensor *tensor = &got.tensors[i];
        if (operand->rank == 0)
            continue;
        compare_operand(checker, trial, i, tensor, &wanted->tensors[i], who);
        const size_t size = (size_t)tensor_count(tensor) * dtype_size(tensor->dtype);
        if (before && !trial->is_split && !checker->is_bf16 && operand->use != USE_SCRATCH &&
            memcmp(tensor->data, before->tensors[i].data, size) != 0)
            report(checker, trial->op, false, "%s %s is not what fewer threads give;%s", who,
                   operand->name, shapes_of(trial));
    }
    if (checker->n_failed == n_failed)
        report(checker, trial->op, true, " ");
    return got;
}

/* -- timing -- */

/* Prints the best wall time, and the processor time of the same threads, which a busy machine
 * disturbs less. */
static void time_trial(struct checker *checker, struct backend *backend, const struct trial *trial)
{
    const size_t mark = arena_mark(&checker->device);
    struct placed placed = place(checker, backend, trial);
    double best = INFINITY, best_cpu = INFINITY, total = 0;
    for (int i = 0; i < 3 || (i < 200 && total < 0.3); i++) {
        const double start = clock_seconds(), cpu_start = clock_cpu_seconds();
        trial->call(backend, placed.remote, placed.weights, trial);
        if (backend_sync(backend) != STATUS_OK)
            report(checker, trial->op, false, "%s", status_message());
        const double seconds = clock_seconds() - start;
        const double cpu_seconds = (clock_cpu_seconds() - cpu_start) / backend->n_threads;
        total += seconds;
        best = seconds < best ? seconds : best;
        best_cpu = cpu_seconds < best_cpu ? cpu_seconds : best_cpu;
    }
    double bytes = 0;
    for (int i = 0; i < trial->n_operands; i++)
        bytes += (double)tensor_count(&placed.tensors[i]) * 4;
    release(backend, trial, &placed);
    arena_release(&checker->device, mark);
    const double work = trial->work > 0 ? trial->work : bytes;
    printf("%-24s %d threads %9.3f ms (cpu %9.3f) %8.1f %s %s\n", trial->op, backend->n_threads,
           best * 1e3, best_cpu * 1e3, work / best * 1e-9, trial->work > 0 ? "GF/s" : "GB/s",
           shapes_of(trial));
}

void check_trial(struct checker *checker, const struct trial *trial)
{
    if (checker->is_bench) {
        time_trial(checker, &checker->handles[checker->n_handles - 1], trial);
        arena_release(&checker->arena, trial->mark);
        return;
    }
    const struct placed wanted = run(checker, &checker->ref, trial);
    struct placed got[MAX_HANDLES];
    for (int i = 0; i < checker->n_compared; i++)
        got[i] = compare(checker, i, trial, &wanted, i > 0 ? &got[i - 1] : NULL);
    const struct placed exact = run(checker, &checker->ref64, trial);
    struct trial within_bounds = *trial;
    within_bounds.is_exact = false;
    for (int i = 0; i < trial->n_operands; i++)
        if (trial->operands[i].rank)
            compare_operand(checker, &within_bounds, i, &wanted.tensors[i], &exact.tensors[i],
                            "ref against ref64:");
    arena_release(&checker->arena, trial->mark);
}
