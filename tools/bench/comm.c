/* mixt bench comm: what ranks tell each other, how fast, and the two numbers behind that. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "backend/comm/comm.h"
#include "base/clock.h"
#include "tools/bench/measure.h"
#include "tools/bench/verbs.h"
#include "tools/options.h"

enum { MAX_SIZES = 16, BLOCKS = 5, FIRST_BYTES = 1 << 10, FACTOR = 4 };

struct comm_options {
    const char *transport, *device;
    double seconds, timeout_s;
    int64_t most_bytes;
    bool wants_json;
};

#define AT(member) offsetof(struct comm_options, member)

static const struct option table[] = {
    {"transport", 0, NULL, "NAME", OPTION_STRING, AT(transport), 0, 0,
     "auto|self|mpi|openmpi|mpich",
     "what carries the bytes (default auto: what launched the program)"},
    {"device", 0, NULL, "NAME", OPTION_STRING, AT(device), 0, 0, NULL,
     "where they lie: cpu, cuda or cuda:N (default cpu)"},
    {"bytes", 0, NULL, "N", OPTION_INT, AT(most_bytes), FIRST_BYTES, 1e9, NULL,
     "the most that a rank sends in a call (default 16 MiB)"},
    {"seconds", 0, NULL, "N", OPTION_DOUBLE, AT(seconds), 0.001, 3600, NULL,
     "of measuring, each size (default 0.5)"},
    {"timeout", 0, NULL, "SECONDS", OPTION_DOUBLE, AT(timeout_s), 1, 86400, NULL,
     "after which a call counts as failed (default 60)"},
    {"json", 0, NULL, NULL, OPTION_FLAG, AT(wants_json), 0, 0, NULL, "print JSON"},
};

static const struct options_command command = {
    .verb = "bench comm",
    .arguments = "",
    .description =
        "Run under mpirun: times all-to-alls, as tokens make them on their way to experts, and "
        "sums over all ranks, as gradients make them, from 1 KiB to --bytes a rank, and fits "
        "latency and bandwidth to the all-to-alls: R - 1 latencies and (R - 1) / R of the bytes. "
        "'mixt plan --ranks N --latency .. --bandwidth ..' reckons with the two.",
    .options = table,
    .n_options = sizeof table / sizeof *table,
};

/* One size. */
struct size {
    double bytes;                /* a rank has */
    double exchange_s, reduce_s; /* of a call: the median of blocks */
};

struct run {
    struct comm comm;
    struct backend backend;
    struct arena arena;
    struct size sizes[MAX_SIZES];
    int n_sizes;
    double latency_s, bandwidth; /* as fitted; bandwidth 0: not known */
};

/* -- measuring -- */

/* A call, on tensors of a size: rows of one number to each rank, or a sum. */
struct call {
    struct tensor in, out;
    int64_t *rows; /* [size] */
    bool is_sum;
};

static enum status call_once(struct run *run, const struct call *call)
{
    const enum status status = call->is_sum ? comm_all_reduce(&run->comm, &run->backend, &call->out)
                                            : comm_all_to_all(&run->comm, &run->backend, &call->out,
                                                              call->rows, &call->in, call->rows);
    return status < 0 ? status : backend_sync(&run->backend);
}

static enum status time_calls(struct run *run, const struct call *call, int64_t n, double *seconds)
{
    enum status status = comm_barrier(&run->comm);
    const double start = clock_seconds();
    for (int64_t i = 0; i < n && status >= 0; i++)
        status = call_once(run, call);
    *seconds = (clock_seconds() - start) / (double)n;
    return status;
}

/* Median over blocks of calls, as many as fit into the time: a number that rank 0 decides. */
static enum status measure_call(struct run *run, const struct call *call, double seconds,
                                double *median)
{
    double block[BLOCKS] = {0};
    int64_t n = 1;
    enum status status = call_once(run, call); /* buffers grow, connections open */
    if (status >= 0)
        status = time_calls(run, call, 1, block);
    n = (int64_t)fmax(1, seconds / BLOCKS / fmax(block[0], 1e-7));
    if (status >= 0)
        status = comm_broadcast(&run->comm, &n, sizeof n, 0);
    for (int i = 0; i < BLOCKS && status >= 0; i++)
        status = time_calls(run, call, n, &block[i]);
    if (status >= 0)
        *median = median_of(block, BLOCKS);
    return status;
}

static enum status measure_size(struct run *run, int64_t bytes, double seconds)
{
    const int n_ranks = run->comm.size;
    const int64_t rows = bytes / (int64_t)sizeof(float) / n_ranks;
    const size_t mark = arena_mark(&run->arena);
    int64_t *counts = malloc((size_t)n_ranks * sizeof *counts);
    struct size *size = &run->sizes[run->n_sizes];
    if (!counts)
        return status_set(STATUS_MEMORY, "no memory for %d ranks", n_ranks);
    for (int r = 0; r < n_ranks; r++)
        counts[r] = rows;
    struct call call = {.in = tensor_2d(&run->arena, DTYPE_F32, rows * n_ranks, 1),
                        .out = tensor_2d(&run->arena, DTYPE_F32, rows * n_ranks, 1),
                        .rows = counts};
    run->backend.ops->fill(&run->backend, &call.in, 0);
    run->backend.ops->fill(&run->backend, &call.out, 0);
    size->bytes = (double)rows * n_ranks * (double)sizeof(float);
    enum status status = measure_call(run, &call, seconds, &size->exchange_s);
    call.is_sum = true;
    if (status >= 0)
        status = measure_call(run, &call, seconds, &size->reduce_s);
    run->n_sizes += status >= 0;
    free(counts);
    arena_release(&run->arena, mark);
    return status;
}

/*
 * latency and 1 / bandwidth, neither below 0, that make the sum of squared relative errors
 * smallest. Times that do not grow with the bytes leave the bandwidth 0: not known.
 */
static void fit(struct run *run)
{
    const double n = run->comm.size;
    double aa = 0, ab = 0, bb = 0, a1 = 0, b1 = 0;
    for (int i = 0; i < run->n_sizes; i++) {
        const double a = (n - 1) / run->sizes[i].exchange_s;
        const double b = (n - 1) / n * run->sizes[i].bytes / run->sizes[i].exchange_s;
        aa += a * a, ab += a * b, bb += b * b, a1 += a, b1 += b;
    }
    const double determinant = aa * bb - ab * ab;
    const double latency = a1 * bb - b1 * ab, per_byte = b1 * aa - a1 * ab; /* times that */
    if (run->n_sizes < 2 || per_byte <= 0) {
        run->latency_s = a1 / aa;
    } else if (latency <= 0) {
        run->bandwidth = bb / b1;
    } else {
        run->latency_s = latency / determinant;
        run->bandwidth = determinant / per_byte;
    }
}

/* -- telling -- */

static void print_text(const struct run *run)
{
    const double n = run->comm.size;
    printf("%d ranks, %d on this host\n\n", run->comm.size, run->comm.node_size);
    printf("%12s %14s %10s %14s %10s\n", "bytes a rank", "all-to-all, us", "GB/s", "sum, us",
           "GB/s");
    for (int i = 0; i < run->n_sizes; i++) {
        const struct size *size = &run->sizes[i];
        const double sent = (n - 1) / n * size->bytes / 1e9;
        printf("%12.0f %14.1f %10.3f %14.1f %10.3f\n", size->bytes, 1e6 * size->exchange_s,
               sent / size->exchange_s, 1e6 * size->reduce_s, 2 * sent / size->reduce_s);
    }
    if (run->bandwidth > 0)
        printf("\nmixt plan --ranks N --latency %.2e --bandwidth %.3e\n", run->latency_s,
               run->bandwidth);
    else if (run->comm.size > 1)
        printf("\nno bandwidth: these all-to-alls take no longer with more bytes; --bytes and "
               "--seconds may be larger\n");
}

static enum status print_json(const struct run *run)
{
    json_t *sizes = json_array();
    for (int i = 0; sizes && i < run->n_sizes; i++) {
        const struct size *size = &run->sizes[i];
        json_t *item = json_pack("{s:f, s:f, s:f}", "bytes", size->bytes, "exchange_seconds",
                                 size->exchange_s, "reduce_seconds", size->reduce_s);
        if (json_array_append_new(sizes, item) < 0) {
            json_decref(sizes);
            sizes = NULL;
        }
    }
    json_t *root =
        json_pack("{s:i, s:i, s:f, s:o, s:o}", "ranks", run->comm.size, "node", run->comm.node_size,
                  "latency_s", run->latency_s, "bandwidth",
                  run->bandwidth > 0 ? json_real(run->bandwidth) : json_null(), "sizes", sizes);
    if (!root)
        return status_set(STATUS_MEMORY, "no memory for the JSON text");
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    printf("\n");
    json_decref(root);
    return STATUS_OK;
}

static enum status bench(struct run *run, const struct comm_options *options)
{
    enum status status = backend_open_for(&run->backend, options->device, COMPUTE_F32, 1);
    if (status >= 0)
        status = backend_arena_init(&run->backend, &run->arena, 0);
    status = comm_agree(&run->comm, status);
    for (int64_t bytes = FIRST_BYTES; bytes <= options->most_bytes && status >= 0; bytes *= FACTOR)
        status = measure_size(run, bytes, options->seconds);
    if (status < 0)
        return status;
    if (run->comm.size > 1)
        fit(run);
    if (run->comm.rank != 0)
        return STATUS_OK;
    if (options->wants_json)
        return print_json(run);
    print_text(run);
    return STATUS_OK;
}

int bench_comm_main(int argc, char **argv)
{
    struct comm_options options = {.transport = "auto",
                                   .device = "cpu",
                                   .seconds = 0.5,
                                   .timeout_s = 60,
                                   .most_bytes = 16 << 20};
    struct option_list arguments = {0};
    struct run run = {0};
    const int code = options_start(&command, argc, argv, &options, &arguments);
    if (code >= 0)
        return code;
    options_free(&command, &options, &arguments);
    enum status status = comm_open(&run.comm, options.transport, options.timeout_s);
    if (status < 0)
        return status_finish(status);
    status = bench(&run, &options);
    if (status < 0 && run.comm.size > 1) {
        status_print();
        comm_abort(&run.comm, status_exit_code(status));
    }
    comm_close(&run.comm);
    arena_free(&run.arena);
    backend_close(&run.backend);
    return status_finish(status);
}
