/* Every call between ranks against plain loops over what all ranks hold.
 *
 * Usage: test_comm TRANSPORT BACKEND; alone, or once for each rank under mpirun. BACKEND cuda-emu
 * is the emulated GPU of the rank's number. What rank r holds follows from r, so that each rank
 * knows what the others sent. A rank that finds a fault ends all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/comm/transport.h"
#include "base/clock.h"

enum { TIMEOUT_S = 60 };

static struct comm comm;
static struct backend backend;
static struct arena arena;

/* -- numbers -- */

/* Number i of rank r: of both signs, and of sizes that make sums depend on their order. */
static double number(int rank, int64_t i)
{
    const int64_t mixed = (i + 1) * 7919 + (int64_t)rank * 104729;
    const double small = (double)(mixed % 2003) / 2003 - 0.5;
    return (mixed / 2003) % 3 == 0 ? small * 4096 : small;
}

static void put(void *numbers, enum dtype dtype, int64_t i, double value)
{
    if (dtype == DTYPE_F32)
        ((float *)numbers)[i] = (float)value;
    else if (dtype == DTYPE_F64)
        ((double *)numbers)[i] = value;
    else
        ((int32_t *)numbers)[i] = (int32_t)(value * 1e5);
}

/* All numbers of rank r; to be freed. */
static void *numbers_of(int rank, enum dtype dtype, int64_t n)
{
    void *numbers = malloc((size_t)n * dtype_size(dtype) + 1);
    assert_non_null(numbers);
    for (int64_t i = 0; i < n; i++)
        put(numbers, dtype, i, number(rank, i));
    return numbers;
}

static void add(void *sum, const void *x, enum dtype dtype, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (dtype == DTYPE_F32)
            ((float *)sum)[i] += ((const float *)x)[i];
        else if (dtype == DTYPE_F64)
            ((double *)sum)[i] += ((const double *)x)[i];
        else
            ((int32_t *)sum)[i] += ((const int32_t *)x)[i];
}

/* The sum over the ranks, in their order; to be freed. */
static void *sum_of(enum dtype dtype, int64_t n)
{
    void *sum = numbers_of(0, dtype, n);
    for (int r = 1; r < comm.size; r++) {
        void *other = numbers_of(r, dtype, n);
        add(sum, other, dtype, n);
        free(other);
    }
    return sum;
}

/* -- tensors -- */

static void upload(const struct tensor *tensor, const void *numbers)
{
    const size_t bytes = (size_t)tensor_count(tensor) * dtype_size(tensor->dtype);
    if (bytes > 0)
        backend.ops->upload(&backend, tensor, numbers, bytes);
}

static struct tensor tensor_of(enum dtype dtype, int64_t n, const void *numbers)
{
    const struct tensor tensor = tensor_1d(&arena, dtype, n);
    upload(&tensor, numbers);
    return tensor;
}

/* The other ranks are not waited for: they are at calls that this one does not make any more. */
static void give_up(int64_t i, const struct tensor *tensor)
{
    fprintf(stderr, "rank %d of %d: number %lld of %lld, type %d, is wrong\n", comm.rank, comm.size,
            (long long)i, (long long)tensor_count(tensor), (int)tensor->dtype);
    comm_abort(&comm, 1);
}

static void expect(const struct tensor *tensor, const void *want)
{
    const size_t element = dtype_size(tensor->dtype);
    const int64_t n = tensor_count(tensor);
    char *got = malloc((size_t)n * element + 1);
    assert_non_null(got);
    if (n > 0)
        backend.ops->download(&backend, got, tensor, (size_t)n * element);
    for (int64_t i = 0; i < n; i++)
        if (memcmp(got + (size_t)i * element, (const char *)want + (size_t)i * element, element))
            give_up(i, tensor);
    free(got);
    assert_int_equal(backend_sync(&backend), STATUS_OK);
}

static int64_t share(int64_t n)
{
    return comm_share(n, comm.rank + 1, comm.size) - comm_share(n, comm.rank, comm.size);
}

static char *my_share_of(void *numbers, enum dtype dtype, int64_t n)
{
    return (char *)numbers + (size_t)comm_share(n, comm.rank, comm.size) * dtype_size(dtype);
}

static struct tensor my_view_of(const struct tensor *whole)
{
    const int64_t n = tensor_count(whole);
    return tensor_slice(whole, comm_share(n, comm.rank, comm.size), share(n));
}

/* Each type with sizes around the ranks' number, and some that go in pieces. */
static void for_all_sizes(void (*test)(enum dtype dtype, int64_t n))
{
    static const int64_t sizes[] = {0, 1, 2, 3, 4, 5, 7, 64, 1000, 40001};
    const enum dtype types[] = {DTYPE_I32, DTYPE_F32, DTYPE_F64};
    const int n_types = backend.hardware[0] ? 2 : 3;
    for (int t = 0; t < n_types; t++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            arena.used = 0;
            test(types[t], sizes[i]);
        }
}

/* -- control -- */

static void test_shares(void **state)
{
    (void)state;
    const int64_t large = (int64_t)1 << 60;
    assert_int_equal(comm_share(large + 5, 0, 7), 0);
    assert_int_equal(comm_share(large + 5, 7, 7), large + 5);
    for (int size = 1; size < 9; size++)
        for (int64_t n = 0; n < 20; n++)
            for (int r = 0; r < size; r++) {
                const int64_t length = comm_share(n, r + 1, size) - comm_share(n, r, size);
                assert_int_equal(length, n / size + (r < n % size));
            }
}

static void test_places(void **state)
{
    (void)state;
    assert_true(comm.rank >= 0 && comm.rank < comm.size);
    assert_int_equal(comm.node_size, comm.size); /* the tests' ranks are on one host */
    assert_int_equal(comm.node_rank, comm.rank);
    assert_int_equal(comm_is_alone(&comm), comm.size == 1);
    assert_true(comm_is_alone(NULL));
}

static void test_broadcast(void **state)
{
    (void)state;
    static const int64_t sizes[] = {0, 1, 100, 100000};
    for (int root = 0; root < comm.size; root++)
        for (int i = 0; i < 4; i++) {
            int32_t *data = numbers_of(comm.rank, DTYPE_I32, sizes[i]);
            int32_t *want = numbers_of(root, DTYPE_I32, sizes[i]);
            const size_t bytes = (size_t)sizes[i] * sizeof *data;
            assert_int_equal(comm_broadcast(&comm, data, bytes, root), STATUS_OK);
            assert_memory_equal(data, want, bytes);
            free(data), free(want);
        }
}

static void test_all_gather(void **state)
{
    (void)state;
    static const int64_t sizes[] = {0, 1, 7, 30000};
    for (int i = 0; i < 4; i++) {
        const size_t bytes = (size_t)sizes[i] * sizeof(int32_t);
        char *all = malloc(bytes * (size_t)comm.size + 1);
        int32_t *mine = numbers_of(comm.rank, DTYPE_I32, sizes[i]);
        assert_int_equal(comm_all_gather(&comm, all, mine, bytes), STATUS_OK);
        for (int r = 0; r < comm.size; r++) {
            int32_t *want = numbers_of(r, DTYPE_I32, sizes[i]);
            assert_memory_equal(all + (size_t)r * bytes, want, bytes);
            free(want);
        }
        free(all), free(mine);
    }
}

static void test_sum(void **state)
{
    (void)state;
    double *values = numbers_of(comm.rank, DTYPE_F64, 50);
    double *want = sum_of(DTYPE_F64, 50);
    assert_int_equal(comm_sum(&comm, values, 50), STATUS_OK);
    assert_memory_equal(values, want, 50 * sizeof *values);
    assert_int_equal(comm_sum(&comm, values, 0), STATUS_OK);
    free(values), free(want);
}

/* Nobody leaves a barrier before the last has come: each notes in turn that it came. */
static void test_barrier(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++)
        assert_int_equal(comm_barrier(&comm), STATUS_OK);
}

static void expect_words(int rank, const char *message, const char *hint)
{
    char want[64];
    snprintf(want, sizeof want, "rank %d: %s", rank, message);
    assert_string_equal(status_message(), rank == comm.rank ? message : want);
    assert_string_equal(status_hint_text(), hint);
}

static void test_agree(void **state)
{
    (void)state;
    const int last = comm.size - 1;
    assert_int_equal(comm_agree(&comm, STATUS_OK), STATUS_OK);
    for (int r = 0; r < comm.size; r++) {
        enum status mine = STATUS_OK;
        (void)status_set(STATUS_FAILED, "nothing");
        if (comm.rank == r) {
            mine = status_set(STATUS_DATA, "line 3 of r%d", r);
            status_hint("look at it");
        }
        assert_int_equal(comm_agree(&comm, mine), STATUS_DATA);
        char message[32];
        snprintf(message, sizeof message, "line 3 of r%d", r);
        expect_words(r, message, "look at it");
    }
    const bool is_worse = comm.rank == last;
    const enum status mine = status_set(is_worse ? STATUS_DIVERGED : STATUS_IO, "mine");
    assert_int_equal(comm_agree(&comm, mine), STATUS_DIVERGED);
    expect_words(last, "mine", "");
}

/* The last rank works for twice as long as others wait, and is not given up; what it then says is
 * what all have. */
static void test_beats(void **state)
{
    (void)state;
    struct comm_pulse pulse = {0};
    const int last = comm.size - 1;
    const double timeout_s = comm.timeout_s, start = clock_seconds();
    enum status mine = STATUS_OK;
    comm.timeout_s = 0.4;
    while (comm.rank == last && clock_seconds() < start + 0.8)
        assert_int_equal(comm_beat(&comm, &pulse), STATUS_OK);
    if (comm.rank == last)
        mine = status_set(STATUS_IO, "the disk is full");
    assert_int_equal(comm_beat_end(&comm, &pulse, mine), STATUS_IO);
    expect_words(last, "the disk is full", "");
    assert_true(clock_seconds() > start + 0.75);
    comm.timeout_s = timeout_s;
}

static void test_check_same(void **state)
{
    (void)state;
    const uint64_t usual = 0x123456789abcdef0u;
    assert_int_equal(comm_check_same(&comm, usual, "the weights"), STATUS_OK);
    for (int r = 0; r < comm.size && comm.size > 1; r++) {
        char want[128];
        const int other = comm.size == 2 ? 1 : r; /* of two ranks the first counts */
        const uint64_t mine = comm.rank == r ? usual ^ (uint64_t)1 << 63 : usual;
        comm.step = 12;
        assert_int_equal(comm_check_same(&comm, mine, "the weights"), STATUS_FAILED);
        comm.step = -1;
        snprintf(want, sizeof want, "step 12: the weights of rank %d are not those of rank %d",
                 other, other == 0 ? 1 : 0);
        assert_string_equal(status_message(), want);
    }
    assert_int_equal(comm_check_same(&comm, usual, "the weights"), STATUS_OK);
}

/* -- tensors -- */

/* NCCL's order of summation is its own: sums are then of numbers that have none. */
static void make_exact(void *numbers, enum dtype dtype, int64_t n)
{
    for (int64_t i = 0; i < n && backend.hardware[0] && dtype == DTYPE_F32; i++)
        ((float *)numbers)[i] = (float)(int)((float *)numbers)[i];
}

static void *exact_numbers_of(int rank, enum dtype dtype, int64_t n)
{
    void *numbers = numbers_of(rank, dtype, n);
    make_exact(numbers, dtype, n);
    return numbers;
}

static void *exact_sum_of(enum dtype dtype, int64_t n)
{
    if (!backend.hardware[0])
        return sum_of(dtype, n);
    void *sum = exact_numbers_of(0, dtype, n);
    for (int r = 1; r < comm.size; r++) {
        void *other = exact_numbers_of(r, dtype, n);
        add(sum, other, dtype, n);
        free(other);
    }
    return sum;
}

static void check_all_reduce(enum dtype dtype, int64_t n)
{
    void *numbers = exact_numbers_of(comm.rank, dtype, n);
    void *want = exact_sum_of(dtype, n);
    const struct tensor tensor = tensor_of(dtype, n, numbers);
    assert_int_equal(comm_all_reduce(&comm, &backend, &tensor), STATUS_OK);
    expect(&tensor, want);
    free(numbers), free(want);
}

static void test_all_reduce(void **state)
{
    (void)state;
    for_all_sizes(check_all_reduce);
    arena.used = 0;
    check_all_reduce(DTYPE_F32, 1200001); /* more than the pieces that are summed at once */
}

/* Into a tensor of its own, and in place. */
static void check_reduce_scatter(enum dtype dtype, int64_t n)
{
    void *numbers = exact_numbers_of(comm.rank, dtype, n);
    void *sum = exact_sum_of(dtype, n);
    const struct tensor whole = tensor_of(dtype, n, numbers);
    const struct tensor part = tensor_1d(&arena, dtype, share(n));
    const struct tensor view = my_view_of(&whole);
    assert_int_equal(comm_reduce_scatter(&comm, &backend, &part, &whole), STATUS_OK);
    expect(&part, my_share_of(sum, dtype, n));
    if (comm.size > 1)
        expect(&whole, numbers);
    assert_int_equal(comm_reduce_scatter(&comm, &backend, &view, &whole), STATUS_OK);
    expect(&view, my_share_of(sum, dtype, n));
    free(numbers), free(sum);
}

/* Onto what this rank's share of rank 0's numbers holds: it comes before all ranks'. */
static void check_add_shares(enum dtype dtype, int64_t n)
{
    void *mine = numbers_of(comm.rank, dtype, n), *want = numbers_of(0, dtype, n);
    const struct tensor whole = tensor_of(dtype, n, mine), held = tensor_of(dtype, n, want);
    const struct tensor part = my_view_of(&held);
    for (int r = 0; r < comm.size; r++) {
        void *other = numbers_of(r, dtype, n);
        add(want, other, dtype, n);
        free(other);
    }
    assert_int_equal(comm_add_shares(&comm, &backend, &part, &whole), STATUS_OK);
    expect(&part, my_share_of(want, dtype, n));
    expect(&whole, mine);
    free(mine);
    free(want);
}

static void test_add_shares(void **state)
{
    (void)state;
    for_all_sizes(check_add_shares);
    arena.used = 0;
    check_add_shares(DTYPE_F32, 1200001);
}

static void test_reduce_scatter(void **state)
{
    (void)state;
    for_all_sizes(check_reduce_scatter);
    arena.used = 0;
    check_reduce_scatter(DTYPE_F32, 1200001);
}

static void check_gather_parts(enum dtype dtype, int64_t n)
{
    void *want = numbers_of(100, dtype, n), *zeros = calloc((size_t)n + 1, 8);
    const struct tensor part = tensor_of(dtype, share(n), my_share_of(want, dtype, n));
    const struct tensor whole = tensor_of(dtype, n, zeros);
    const struct tensor view = my_view_of(&whole);
    assert_int_equal(comm_gather_parts(&comm, &backend, &whole, &part), STATUS_OK);
    expect(&whole, want);
    upload(&whole, zeros);
    upload(&view, my_share_of(want, dtype, n));
    assert_int_equal(comm_gather_parts(&comm, &backend, &whole, &view), STATUS_OK);
    expect(&whole, want);
    free(want), free(zeros);
}

static void test_gather_parts(void **state)
{
    (void)state;
    for_all_sizes(check_gather_parts);
}

/* Rows that `from` sends to `to` in one of the patterns: uneven with zeros, none at all, all to the
 * last rank, many. */
static int64_t rows_of(int pattern, int from, int to)
{
    switch (pattern) {
    case 0:
        return (from * 7 + to * 3 + 2) % 5;
    case 1:
        return 0;
    case 2:
        return to == comm.size - 1 ? from + 1 : 0;
    default:
        return 900 + 50 * from + to;
    }
}

/* Number d of row i from one rank to the other. */
static double payload(int from, int to, int64_t i, int64_t d)
{
    return from * 100 + to * 10 + (double)i + (double)d / 16;
}

static void check_all_to_all(int pattern, enum dtype dtype, int64_t n_d)
{
    int64_t send[64], receive[64], n_in = 0, n_out = 0;
    for (int r = 0; r < comm.size; r++) {
        n_in += send[r] = rows_of(pattern, comm.rank, r);
        n_out += receive[r] = rows_of(pattern, r, comm.rank);
    }
    char *in = calloc((size_t)(n_in * n_d) + 1, 8), *want = calloc((size_t)(n_out * n_d) + 1, 8);
    int64_t at_in = 0, at_out = 0;
    for (int r = 0; r < comm.size; r++) {
        for (int64_t k = 0; k < send[r] * n_d; k++)
            put(in, dtype, at_in++, payload(comm.rank, r, k / n_d, k % n_d));
        for (int64_t k = 0; k < receive[r] * n_d; k++)
            put(want, dtype, at_out++, payload(r, comm.rank, k / n_d, k % n_d));
    }
    arena.used = 0;
    const struct tensor sent = tensor_2d(&arena, dtype, n_in, n_d);
    const struct tensor received = tensor_2d(&arena, dtype, n_out, n_d);
    upload(&sent, in);
    assert_int_equal(comm_all_to_all(&comm, &backend, &received, receive, &sent, send), STATUS_OK);
    expect(&received, want);
    expect(&sent, in);
    free(in), free(want);
}

static void test_all_to_all(void **state)
{
    (void)state;
    const enum dtype types[] = {DTYPE_I32, DTYPE_F32, DTYPE_F64};
    static const int64_t widths[] = {0, 1, 3, 64};
    const int n_types = backend.hardware[0] ? 2 : 3;
    for (int pattern = 0; pattern < 4; pattern++)
        for (int t = 0; t < n_types; t++)
            for (int w = 0; w < 4; w++)
                check_all_to_all(pattern, types[t], widths[w]);
}

/* -- two halves -- */

enum { BOTH = 2, BOTH_WIDTH = 5 };

/* Rows of two exchanges in the same tensors: those to a rank stand one behind the other, the first
 * exchange's before the second's; what comes is apart by exchange. */
struct both {
    int64_t send[BOTH][64], send_at[BOTH][64], receive[BOTH][64], receive_at[BOTH][64];
    struct tensor in, out;
    float *want; /* owned */
};

static int pattern_of(int slot)
{
    return 3 * slot;
}

static void plan_both(struct both *both)
{
    int64_t n_in = 0, n_out = 0, at = 0;
    for (int r = 0; r < comm.size; r++)
        for (int s = 0; s < BOTH; s++) {
            both->send_at[s][r] = n_in;
            n_in += both->send[s][r] = rows_of(pattern_of(s), comm.rank, r);
        }
    for (int s = 0; s < BOTH; s++)
        for (int r = 0; r < comm.size; r++) {
            both->receive_at[s][r] = n_out;
            n_out += both->receive[s][r] = rows_of(pattern_of(s), r, comm.rank);
        }
    arena.used = 0;
    both->in = tensor_2d(&arena, DTYPE_F32, n_in, BOTH_WIDTH);
    both->out = tensor_2d(&arena, DTYPE_F32, n_out, BOTH_WIDTH);
    float *in = calloc((size_t)n_in * BOTH_WIDTH + 1, sizeof *in);
    both->want = calloc((size_t)n_out * BOTH_WIDTH + 1, sizeof *in);
    for (int r = 0; r < comm.size; r++)
        for (int s = 0; s < BOTH; s++)
            for (int64_t k = 0; k < both->send[s][r] * BOTH_WIDTH; k++)
                in[at++] = (float)payload(comm.rank, r, k / BOTH_WIDTH, k % BOTH_WIDTH + 100 * s);
    at = 0;
    for (int s = 0; s < BOTH; s++)
        for (int r = 0; r < comm.size; r++)
            for (int64_t k = 0; k < both->receive[s][r] * BOTH_WIDTH; k++)
                both->want[at++] =
                    (float)payload(r, comm.rank, k / BOTH_WIDTH, k % BOTH_WIDTH + 100 * s);
    upload(&both->in, in);
    free(in);
}

/* Two are under way, and the second is finished first. */
static void test_halves(void **state)
{
    (void)state;
    struct both both;
    if (comm.size == 1)
        return;
    plan_both(&both);
    backend.ops->fill(&backend, &both.out, -1);
    assert_true(comm_overlaps(&comm, &backend));
    for (int s = 0; s < BOTH; s++) {
        const struct comm_rows out = {&both.out, both.receive[s], both.receive_at[s]};
        const struct comm_rows in = {&both.in, both.send[s], both.send_at[s]};
        assert_int_equal(comm_all_to_all_start(&comm, &backend, s + 1, &out, &in), STATUS_OK);
        comm_poll(&comm);
    }
    assert_int_equal(comm_all_to_all_finish(&comm, 2), STATUS_OK);
    assert_int_equal(comm_all_to_all_finish(&comm, 1), STATUS_OK);
    expect(&both.out, both.want);
    free(both.want);
}

/* Rows arrive while no rank waits for them: before the second half, at looks alone. */
static void test_arrival(void **state)
{
    (void)state;
    enum { ROWS = 3000, WIDTH = 100 };
    int64_t count[64], at[64];
    if (comm.size == 1 || backend.hardware[0])
        return;
    arena.used = 0;
    const struct tensor in = tensor_2d(&arena, DTYPE_F32, ROWS * comm.size, WIDTH);
    const struct tensor out = tensor_2d(&arena, DTYPE_F32, ROWS * comm.size, WIDTH);
    backend.ops->fill(&backend, &in, comm.rank);
    backend.ops->fill(&backend, &out, -1);
    for (int r = 0; r < comm.size; r++) {
        count[r] = ROWS;
        at[r] = (int64_t)r * ROWS;
    }
    const struct comm_rows to = {&out, count, at}, from = {&in, count, at};
    assert_int_equal(comm_all_to_all_start(&comm, &backend, 0, &to, &from), STATUS_OK);
    const volatile float *came = out.data; /* another's, as the compiler sees it */
    const double limit = clock_seconds() + TIMEOUT_S / 2.0;
    for (int r = 0; r < comm.size; r++)
        while (came[(at[r] + ROWS) * WIDTH - 1] != (float)r && clock_seconds() < limit)
            comm_poll(&comm);
    for (int64_t i = 0; i < tensor_count(&out); i++)
        if (came[i] != (float)(i / WIDTH / ROWS))
            give_up(i, &out);
    assert_int_equal(comm_all_to_all_finish(&comm, 0), STATUS_OK);
}

/* A GPU's tensors through the host, as where its module has no NCCL. */
static void test_through_host(void **state)
{
    (void)state;
    const struct comm_device_ops *device = comm.device;
    assert_int_equal(device != NULL, backend.hardware[0] != '\0' && comm.size > 1);
    comm.device = NULL;
    for_all_sizes(check_all_reduce);
    for_all_sizes(check_reduce_scatter);
    for_all_sizes(check_gather_parts);
    check_all_to_all(0, DTYPE_F32, 3);
    comm.device = device;
}

/* -- what is refused -- */

static void expect_refused(const char *transport, enum status want, const char *message)
{
    struct comm other;
    assert_int_equal(comm_open(&other, transport, TIMEOUT_S), want);
    assert_non_null(strstr(status_message(), message));
    assert_null(other.ops);
    comm_close(&other);
}

static void test_refused_transports(void **state)
{
    (void)state;
    expect_refused("nosuch", STATUS_CONFIG, "no transport 'nosuch'");
    if (strcmp(comm.ops->name, "self") != 0)
        return;
    expect_refused("mpi", STATUS_CONFIG, "mpirun or srun did not start this");
    assert_int_equal(setenv("MIXT_COMM_FAULT", "kill", 1), 0);
    expect_refused("self", STATUS_CONFIG, "MIXT_COMM_FAULT=kill is not KIND:CALL");
    assert_int_equal(setenv("MIXT_COMM_FAULT", "nosuch:3", 1), 0);
    expect_refused("self", STATUS_CONFIG, "MIXT_COMM_FAULT=nosuch:3 is not KIND:CALL");
    assert_int_equal(unsetenv("MIXT_COMM_FAULT"), 0);
}

/* Rank 1 gets fewer rows than it asks for: it says so, and so does every later call. */
static void test_rows_that_differ(void **state)
{
    (void)state;
    int64_t send[64] = {0}, receive[64] = {0};
    if (comm.size < 2 || backend.hardware[0])
        return;
    send[1] = comm.rank == 0 ? 3 : 0;
    receive[0] = comm.rank == 1 ? 4 : 0;
    arena.used = 0;
    const struct tensor in = tensor_2d(&arena, DTYPE_F32, comm.rank == 0 ? 3 : 0, 5);
    const struct tensor out = tensor_2d(&arena, DTYPE_F32, comm.rank == 1 ? 4 : 0, 5);
    const enum status status = comm_all_to_all(&comm, &backend, &out, receive, &in, send);
    assert_int_equal(status, comm.rank == 1 ? STATUS_FAILED : STATUS_OK);
    if (comm.rank == 1) {
        assert_non_null(strstr(status_message(), "all_to_all: rank 0 sent 60 bytes instead of 80"));
        assert_int_equal(comm_barrier(&comm), STATUS_FAILED);
        comm.error = STATUS_OK;
    }
    assert_int_equal(comm_barrier(&comm), STATUS_OK);
}

/* -- the program -- */

static bool open_all(const char *transport, const char *device)
{
    char name[32];
    if (comm_open(&comm, transport, TIMEOUT_S) < 0)
        return false;
    snprintf(name, sizeof name, strcmp(device, "cuda-emu") == 0 ? "%s:%d" : "%s", device,
             comm.rank);
    return backend_open(&backend, name, 1) >= 0 && backend_arena_init(&backend, &arena, 0) >= 0;
}

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_broadcast),
        cmocka_unit_test(test_all_gather),
        cmocka_unit_test(test_sum),
        cmocka_unit_test(test_barrier),
        cmocka_unit_test(test_agree),
        cmocka_unit_test(test_beats),
        cmocka_unit_test(test_check_same),
        cmocka_unit_test(test_all_reduce),
        cmocka_unit_test(test_reduce_scatter),
        cmocka_unit_test(test_add_shares),
        cmocka_unit_test(test_gather_parts),
        cmocka_unit_test(test_all_to_all),
        cmocka_unit_test(test_halves),
        cmocka_unit_test(test_arrival),
        cmocka_unit_test(test_through_host),
        cmocka_unit_test(test_refused_transports),
        cmocka_unit_test(test_rows_that_differ),
    };
    if (count != 3) {
        fprintf(stderr, "usage: test_comm TRANSPORT BACKEND\n");
        return 2;
    }
    if (!open_all(arguments[1], arguments[2])) {
        status_print();
        return 1;
    }
    const int failed = cmocka_run_group_tests_name("comm", tests, NULL, NULL);
    if (failed > 0)
        comm_abort(&comm, 1);
    comm_close(&comm);
    arena_free(&arena);
    backend_close(&backend);
    return 0;
}
