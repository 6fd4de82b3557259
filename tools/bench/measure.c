/* Sessions: options, the clock, and the report as text and JSON. */
#include "tools/bench/measure.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tools/bench/shape.h"
#include "tools/footer.h"

#define AT(member) offsetof(struct bench_options, member)

static const struct option table[] = {
    {"shape", 's', NULL, "NAME", OPTION_STRING, AT(shape), 0, 0, "w1|w2",
     "w1: embeddings of 256, LSTMs of 512, 16 experts of 1024, two a token, 8,000 pieces, 128 "
     "sentences of 14 tokens; w2: 512, 2048, 32 experts of 2048, four a token, 32,768 pieces, 64 "
     "sentences of 20 tokens (default w1)"},
    {"experts", 'e', NULL, "N", OPTION_INT, AT(experts), 1, 131072, NULL,
     "experts of a mixture (default: the shape's)"},
    {"sentences", 0, NULL, "N", OPTION_INT, AT(sentences), 1, 65536, NULL,
     "sentences of a batch (default: the shape's; in decoding 64)"},
    {"length", 0, NULL, "N", OPTION_INT, AT(length), 1, 4096, NULL,
     "tokens of a sentence, on both sides (default: the shape's)"},
    {"compute", 'c', NULL, "TYPE", OPTION_STRING, AT(compute), 0, 0, "f32|tf32|bf16|fp16|auto",
     "what the operands of products are rounded to; tf32: GPUs only; fp16: processors with "
     "AVX512-FP16; auto: bf16 where the processor has AMX or the GPU has it, else fp16 where the "
     "processor has that (default f32)"},
    {"device", 0, NULL, "NAME", OPTION_STRING, AT(device), 0, 0, NULL,
     "what computes: cpu, cuda, cuda:N or auto (default cpu)"},
    {"threads", 't', NULL, "N", OPTION_INT, AT(threads), 0, 256, NULL,
     "threads (default 0: all cores)"},
    {"only", 'o', NULL, "TEXT", OPTION_STRING, AT(only), 0, 0, NULL,
     "measure only what has this in its name"},
    {"seconds", 'S', NULL, "NUMBER", OPTION_DOUBLE, AT(seconds), 0, 3600, NULL,
     "time for each measurement; each is made three times at least (default 1)"},
    {"json", 0, NULL, NULL, OPTION_FLAG, AT(wants_json), 0, 0, NULL, "print JSON, not a table"},
};

/* -- opening -- */

static const char *const compute_words[] = {"f32", "tf32", "bf16", "fp16", "auto"};

static enum compute compute_of(const char *word)
{
    enum compute compute = COMPUTE_F32;
    while (strcmp(compute_words[compute], word) != 0)
        compute++;
    return compute;
}

static enum status open_session(struct session *session, const struct option_list *assignments)
{
    const struct bench_options *options = session->options;
    const enum compute compute = compute_of(options->compute);
    session->config = malloc(sizeof *session->config);
    session->times = malloc(SESSION_MAX_TIMES * sizeof *session->times);
    session->sentences = options->sentences;
    session->length = options->length;
    if (!session->config || !session->times)
        return status_set(STATUS_MEMORY, "no memory to measure");
    if (!backend_is_device(options->device))
        return status_set(STATUS_USAGE,
                          "bench: no device '%s'; there are cpu, cuda, cuda:N and auto",
                          options->device);
    enum status status = shape_read(session->config, options->shape, options->experts, assignments,
                                    &session->sentences, &session->length);
    if (status >= 0)
        status = peak_measure(&session->peak, options->device, compute, options->threads,
                              options->seconds / 2);
    if (status >= 0)
        status = arena_init(&session->host, 0);
    if (status >= 0)
        status =
            backend_open_for(&session->backend, options->device, compute, (int)options->threads);
    if (status >= 0)
        status = backend_arena_init(&session->backend, &session->arena, 0);
    return status;
}

int session_start(struct session *session, struct bench_options *options, const char *verb,
                  const char *description, int argc, char **argv)
{
    char name[32];
    snprintf(name, sizeof name, "bench %s", verb);
    const struct options_command command = {
        .verb = name,
        .arguments = "[SECTION.KEY=VALUE...]",
        .description = description,
        .options = table,
        .n_options = sizeof table / sizeof *table,
        .max_arguments = 1000,
    };
    struct option_list assignments = {0};
    *session = (struct session){.verb = verb, .options = options, .start_s = clock_seconds()};
    const int64_t sentences = options->sentences;
    *options = (struct bench_options){
        .shape = "w1", .compute = "f32", .device = "cpu", .seconds = 1, .sentences = sentences};
    const int code = options_start(&command, argc, argv, options, &assignments);
    if (code >= 0)
        return code;
    const enum status status = open_session(session, &assignments);
    options_free(&command, options, &assignments);
    return status < 0 ? session_finish(session, status) : -1;
}

/* -- measuring -- */

bool session_wants(const struct session *session, const char *name)
{
    return !session->options->only || strstr(name, session->options->only) != NULL;
}

static int compare_values(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double median_of(double *values, int64_t n)
{
    qsort(values, (size_t)n, sizeof *values, compare_values);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

double session_time(struct session *session, struct work work, int64_t *calls)
{
    enum { LEAST_CALLS = 3 };
    const double limit = session->options->seconds;
    int64_t n = 0;
    double sum = 0;
    for (int64_t i = -1; i < LEAST_CALLS || (sum < limit && i < SESSION_MAX_TIMES); i++) {
        if (work.prepare)
            work.prepare(work.context);
        session->backend.ops->sync(&session->backend);
        const double start = clock_seconds();
        work.run(work.context);
        session->backend.ops->sync(&session->backend);
        if (i < 0)
            continue; /* the first call warms up */
        session->times[n] = clock_seconds() - start;
        sum += session->times[n++];
    }
    *calls = n;
    return median_of(session->times, n);
}

double session_peak_flops(const struct session *session)
{
    return session->peak.products[session->backend.compute];
}

static double peak_bytes(const struct session *session)
{
    return session->peak.read > session->peak.copy ? session->peak.read : session->peak.copy;
}

void session_add(struct session *session, struct row row)
{
    CHECK(session->n_rows < SESSION_MAX_ROWS, "more than %d rows", SESSION_MAX_ROWS);
    row.peak_bytes = clock_peak_bytes();
    if (row.unit == ROW_FLOPS)
        row.fraction = row.amount / row.seconds / session_peak_flops(session);
    if (row.unit == ROW_BYTES)
        row.fraction = row.amount / row.seconds / peak_bytes(session);
    session->rows[session->n_rows++] = row;
}

void session_row(struct session *session, const char *name, enum row_unit unit, double amount,
                 struct work work)
{
    struct row row = {.unit = unit, .amount = amount};
    snprintf(row.name, sizeof row.name, "%s", name);
    row.seconds = session_time(session, work, &row.calls);
    session_add(session, row);
}

struct tensor session_random(struct session *session, int64_t d0, int64_t d1)
{
    struct backend *backend = &session->backend;
    const struct tensor tensor = tensor_2d(&session->arena, backend->real, d0, d1);
    const struct tensor flat = tensor_as_2d(&tensor, d0 * d1, 1);
    enum { BLOCK = 1 << 16 };
    const size_t mark = arena_mark(&session->host);
    float *block = arena_take(&session->host, BLOCK * sizeof *block);
    for (uint32_t i = 0; i < BLOCK; i++)
        block[i] = (float)(random_unit(random_philox((struct random_key){0}, 0, i).word[0]) - 0.5);
    for (int64_t first = 0; first < d0 * d1; first += BLOCK) {
        const int64_t count = d0 * d1 - first < BLOCK ? d0 * d1 - first : BLOCK;
        const struct tensor part = tensor_slice(&flat, first, count);
        backend->ops->upload(backend, &part, block, (size_t)count * sizeof *block);
    }
    arena_release(&session->host, mark);
    return tensor;
}

struct tensor session_ids(struct session *session, int64_t count, int64_t bound)
{
    const struct tensor tensor = tensor_1d(&session->arena, DTYPE_I32, count);
    const size_t mark = arena_mark(&session->host), size = (size_t)count * sizeof(int32_t);
    int32_t *ids = arena_take(&session->host, size);
    for (int64_t i = 0; i < count; i++) {
        const struct random_words words =
            random_philox((struct random_key){.seed = 1}, 0, (uint32_t)i);
        ids[i] = (int32_t)random_below(words.word[0], words.word[1], (uint64_t)bound);
    }
    session->backend.ops->upload(&session->backend, &tensor, ids, size);
    arena_release(&session->host, mark);
    return tensor;
}

/* -- reporting -- */

static const struct {
    const char *name;
    double scale;
} units[] = {[ROW_FLOPS] = {"GF/s", 1e-9},
             [ROW_BYTES] = {"GB/s", 1e-9},
             [ROW_TOKENS] = {"tokens/s", 1},
             [ROW_SENTENCES] = {"sentences/s", 1}};

static double rate_of(const struct row *row)
{
    return row->amount / row->seconds * units[row->unit].scale;
}

static void print_table(const struct session *session)
{
    const struct peak *peak = &session->peak;
    printf("%s with %d threads, shape %s: %" PRId64 " sentences of %" PRId64 " tokens\n",
           session->backend.name, session->backend.n_threads, session->options->shape,
           session->sentences, session->length);
    printf("peak: products %.1f GF/s in f32", peak->products[COMPUTE_F32] * 1e-9);
    for (int type = COMPUTE_F32 + 1; type < COMPUTE_AUTO; type++)
        if (peak->products[type] > 0)
            printf(", %.1f in %s", peak->products[type] * 1e-9, compute_words[type]);
    printf("; memory %.1f GB/s read, %.1f copied\n\n", peak->read * 1e-9, peak->copy * 1e-9);
    printf("%-32s %11s %10s %-11s %7s %8s\n", "", "ms", "rate", "", "of peak", "peak MB");
    for (int64_t i = 0; i < session->n_rows; i++) {
        const struct row *row = &session->rows[i];
        printf("%-32s %11.4f %10.1f %-11s ", row->name, 1e3 * row->seconds, rate_of(row),
               units[row->unit].name);
        if (row->fraction > 0)
            printf("%7.3f", row->fraction);
        else
            printf("%7s", "-");
        printf(" %8.0f", (double)row->peak_bytes * 1e-6);
        for (int e = 0; e < ROW_EXTRAS && row->extra[e].name; e++)
            printf("  %s %.3f", row->extra[e].name, row->extra[e].value);
        printf("\n");
    }
}

static json_t *json_of_peak(const struct peak *peak)
{
    json_t *object =
        json_pack("{s:f, s:f}", "read_gbs", peak->read * 1e-9, "copy_gbs", peak->copy * 1e-9);
    for (int type = COMPUTE_F32; type < COMPUTE_AUTO; type++) {
        char name[32];
        snprintf(name, sizeof name, "%s_gflops", compute_words[type]);
        const double rate = peak->products[type];
        json_object_set_new(object, name, rate > 0 ? json_real(rate * 1e-9) : json_null());
    }
    return object;
}

static json_t *json_of_row(const struct row *row)
{
    json_t *object = json_pack("{s:s, s:f, s:I, s:f, s:s, s:o, s:I}", "name", row->name, "seconds",
                               row->seconds, "calls", (json_int_t)row->calls, "rate", rate_of(row),
                               "unit", units[row->unit].name, "of_peak",
                               row->fraction > 0 ? json_real(row->fraction) : json_null(),
                               "peak_memory_bytes", (json_int_t)row->peak_bytes);
    for (int e = 0; e < ROW_EXTRAS && row->extra[e].name; e++)
        json_object_set_new(object, row->extra[e].name, json_real(row->extra[e].value));
    return object;
}

static enum status print_json(const struct session *session)
{
    json_t *rows = json_array();
    for (int64_t i = 0; rows && i < session->n_rows; i++)
        json_array_append_new(rows, json_of_row(&session->rows[i]));
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:i, s:I, s:I, s:o, s:o}", "verb", session->verb, "shape",
                  session->options->shape, "device", session->backend.name, "threads",
                  session->backend.n_threads, "sentences", (json_int_t)session->sentences, "length",
                  (json_int_t)session->length, "peak", json_of_peak(&session->peak), "rows", rows);
    if (!root)
        return status_set(STATUS_MEMORY, "no memory for the JSON text");
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
    printf("\n");
    json_decref(root);
    return STATUS_OK;
}

static enum status report(const struct session *session)
{
    if (session->n_rows == 0)
        return status_set(STATUS_USAGE, "bench %s measures nothing with '%s' in its name",
                          session->verb, session->options->only ? session->options->only : "");
    enum status status = STATUS_OK;
    if (session->options->wants_json)
        status = print_json(session);
    else
        print_table(session);
    if (status >= 0)
        footer_print(session->start_s, "");
    return status;
}

int session_finish(struct session *session, enum status status)
{
    if (status >= 0)
        status = backend_sync(&session->backend);
    if (status >= 0)
        status = report(session);
    arena_free(&session->arena);
    arena_free(&session->host);
    backend_close(&session->backend);
    free(session->config);
    free(session->times);
    return status_finish(status);
}
