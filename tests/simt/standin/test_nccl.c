/* The stand-in of NCCL: ranks of one thread, of threads and of processes, and what it must notice.
 * Every rank has a device of its own. */
#include <cuda_runtime_api.h>
#include <nccl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/simt/device.h"
#include "tests/simt/standin/cases.h"

enum { RANKS = 2, N = 3 };

/* What one rank has: numbers 10 rank + i, and room for results. */
struct rank {
    ncclComm_t comm;
    cudaStream_t stream;
    float *data;   /* [RANKS, N] */
    float *result; /* [RANKS, N] */
};

static void open_rank(struct rank *rank, int number)
{
    float numbers[RANKS * N];
    for (int i = 0; i < RANKS * N; i++)
        numbers[i] = (float)(10 * number + i);
    assert_int_equal(cudaSetDevice(number), cudaSuccess);
    assert_int_equal(cudaStreamCreate(&rank->stream), cudaSuccess);
    rank->data = cases_upload(numbers, sizeof numbers);
    rank->result = cases_device(sizeof numbers);
}

static void close_rank(struct rank *rank, int number)
{
    assert_int_equal(cudaSetDevice(number), cudaSuccess);
    assert_int_equal(ncclCommDestroy(rank->comm), ncclSuccess);
    cudaFree(rank->data), cudaFree(rank->result);
    assert_int_equal(cudaStreamDestroy(rank->stream), cudaSuccess);
}

static int set_up(void **state)
{
    struct rank *ranks = calloc(RANKS, sizeof *ranks);
    ncclComm_t comms[RANKS];
    assert_non_null(ranks);
    assert_int_equal(ncclCommInitAll(comms, RANKS, NULL), ncclSuccess);
    for (int r = 0; r < RANKS; r++) {
        open_rank(&ranks[r], r);
        ranks[r].comm = comms[r];
    }
    *state = ranks;
    return 0;
}

static int tear_down(void **state)
{
    struct rank *ranks = *state;
    for (int r = 0; r < RANKS; r++)
        close_rank(&ranks[r], r);
    free(ranks);
    assert_int_equal(cudaSetDevice(0), cudaSuccess);
    assert_int_equal(unsetenv("STANDIN_NCCL_TIMEOUT_MS"), 0);
    return simt_error_count();
}

static void expect(const struct rank *rank, const float *want, int count)
{
    float *got = cases_download(rank->result, (size_t)count * 4);
    cases_expect("result", got, want, count, 0);
    free(got);
}

/* Waits for all devices, since each rank's call needs the others'. */
static void wait_for_all(void)
{
    for (int r = 0; r < RANKS; r++) {
        cudaSetDevice(r);
        cudaDeviceSynchronize();
    }
}

static void test_identity(void **state)
{
    struct rank *ranks = *state;
    for (int r = 0; r < RANKS; r++) {
        int count = 0, rank = -1, device = -1;
        assert_int_equal(ncclCommCount(ranks[r].comm, &count), ncclSuccess);
        assert_int_equal(ncclCommUserRank(ranks[r].comm, &rank), ncclSuccess);
        assert_int_equal(ncclCommCuDevice(ranks[r].comm, &device), ncclSuccess);
        assert_true(count == RANKS && rank == r && device == r);
    }
}

static void test_all_reduce(void **state)
{
    struct rank *ranks = *state;
    const float sums[N] = {10, 12, 14}, means[N] = {5, 6, 7}, most[N] = {10, 11, 12};
    const float *const want[] = {sums, means, most};
    const ncclRedOp_t ops[] = {ncclSum, ncclAvg, ncclMax};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ncclGroupStart(), ncclSuccess);
        for (int r = 0; r < RANKS; r++)
            assert_int_equal(ncclAllReduce(ranks[r].data, ranks[r].result, N, ncclFloat, ops[i],
                                           ranks[r].comm, ranks[r].stream),
                             ncclSuccess);
        assert_int_equal(ncclGroupEnd(), ncclSuccess);
        wait_for_all();
        for (int r = 0; r < RANKS; r++)
            expect(&ranks[r], want[i], N);
    }
}

static void test_gather_and_scatter(void **state)
{
    struct rank *ranks = *state;
    const float all[RANKS * N] = {0, 1, 2, 10, 11, 12};
    assert_int_equal(ncclGroupStart(), ncclSuccess);
    for (int r = 0; r < RANKS; r++)
        assert_int_equal(ncclAllGather(ranks[r].data, ranks[r].result, N, ncclFloat, ranks[r].comm,
                                       ranks[r].stream),
                         ncclSuccess);
    assert_int_equal(ncclGroupEnd(), ncclSuccess);
    wait_for_all();
    for (int r = 0; r < RANKS; r++)
        expect(&ranks[r], all, RANKS * N);
    assert_int_equal(ncclGroupStart(), ncclSuccess);
    for (int r = 0; r < RANKS; r++)
        assert_int_equal(ncclReduceScatter(ranks[r].data, ranks[r].result, N, ncclFloat, ncclSum,
                                           ranks[r].comm, ranks[r].stream),
                         ncclSuccess);
    assert_int_equal(ncclGroupEnd(), ncclSuccess);
    wait_for_all();
    for (int r = 0; r < RANKS; r++) {
        const float sums[N] = {(float)(10 + 6 * r), (float)(12 + 6 * r), (float)(14 + 6 * r)};
        expect(&ranks[r], sums, N);
    }
}

static void test_root(void **state)
{
    struct rank *ranks = *state;
    const float ones[N] = {10, 11, 12}, sums[N] = {10, 12, 14};
    assert_int_equal(ncclGroupStart(), ncclSuccess);
    for (int r = 0; r < RANKS; r++)
        assert_int_equal(ncclBroadcast(r == 1 ? ranks[r].data : NULL, ranks[r].result, N, ncclFloat,
                                       1, ranks[r].comm, ranks[r].stream),
                         ncclSuccess);
    assert_int_equal(ncclGroupEnd(), ncclSuccess);
    wait_for_all();
    for (int r = 0; r < RANKS; r++)
        expect(&ranks[r], ones, N);
    assert_int_equal(ncclGroupStart(), ncclSuccess);
    for (int r = 0; r < RANKS; r++)
        assert_int_equal(ncclReduce(ranks[r].data, r == 0 ? ranks[r].result : NULL, N, ncclFloat,
                                    ncclSum, 0, ranks[r].comm, ranks[r].stream),
                         ncclSuccess);
    assert_int_equal(ncclGroupEnd(), ncclSuccess);
    wait_for_all();
    expect(&ranks[0], sums, N);
    expect(&ranks[1], ones, N);
}

/* Everyone sends to everyone, other counts for each. */
static void test_all_to_all(void **state)
{
    struct rank *ranks = *state;
    assert_int_equal(ncclGroupStart(), ncclSuccess);
    for (int r = 0; r < RANKS; r++)
        for (int peer = 0; peer < RANKS; peer++) {
            assert_int_equal(ncclSend(ranks[r].data, (size_t)(1 + peer), ncclFloat, peer,
                                      ranks[r].comm, ranks[r].stream),
                             ncclSuccess);
            assert_int_equal(ncclRecv(ranks[r].result + 2 * peer, (size_t)(1 + r), ncclFloat, peer,
                                      ranks[r].comm, ranks[r].stream),
                             ncclSuccess);
        }
    assert_int_equal(ncclGroupEnd(), ncclSuccess);
    wait_for_all();
    float *got = cases_download(ranks[1].result, 16);
    const float want[] = {0, 1, 10, 11};
    cases_expect("what rank 1 got", got, want, 4, 0);
    free(got);
    got = cases_download(ranks[0].result, 4);
    assert_true(got[0] == 0);
    free(got);
}

static void test_counts_must_agree(void **state)
{
    struct rank *ranks = *state;
    ncclResult_t error = ncclSuccess;
    assert_int_equal(ncclGroupStart(), ncclSuccess);
    for (int r = 0; r < RANKS; r++)
        assert_int_equal(ncclAllReduce(ranks[r].data, ranks[r].result, (size_t)(N - r), ncclFloat,
                                       ncclSum, ranks[r].comm, ranks[r].stream),
                         ncclSuccess);
    assert_int_equal(ncclGroupEnd(), ncclSuccess);
    wait_for_all();
    cases_expect_misuse("calls differ: ncclAllReduce of");
    assert_int_equal(ncclCommGetAsyncError(ranks[0].comm, &error), ncclSuccess);
    assert_int_equal(error, ncclInvalidUsage);
    assert_int_equal(ncclAllReduce(ranks[0].data, ranks[0].result, N, ncclFloat, ncclSum,
                                   ranks[0].comm, ranks[0].stream),
                     ncclInvalidUsage);
}

/* Both send first, without a group: each waits for the other's receive. */
static void test_deadlock(void **state)
{
    struct rank *ranks = *state;
    ncclResult_t error = ncclSuccess;
    assert_int_equal(setenv("STANDIN_NCCL_TIMEOUT_MS", "50", 1), 0);
    for (int r = 0; r < RANKS; r++) {
        assert_int_equal(
            ncclSend(ranks[r].data, N, ncclFloat, 1 - r, ranks[r].comm, ranks[r].stream),
            ncclSuccess);
        assert_int_equal(
            ncclRecv(ranks[r].result, N, ncclFloat, 1 - r, ranks[r].comm, ranks[r].stream),
            ncclSuccess);
    }
    wait_for_all();
    cases_expect_misuse("the others do not come");
    assert_int_equal(ncclCommGetAsyncError(ranks[0].comm, &error), ncclSuccess);
    assert_int_not_equal(error, ncclSuccess);
    assert_int_equal(ncclCommGetAsyncError(ranks[1].comm, &error), ncclSuccess);
    assert_int_not_equal(error, ncclSuccess);
}

static ncclResult_t reduce(struct rank *rank, const void *send, void *recv, ncclDataType_t type,
                           cudaStream_t stream)
{
    return ncclAllReduce(send, recv, N, type, ncclSum, rank->comm, stream);
}

static void test_wrong_arguments(void **state)
{
    struct rank *ranks = *state;
    struct rank *zero = &ranks[0];
    float host[N] = {0};
    ncclComm_t comm = NULL;
    ncclUniqueId id = {{0}};
    assert_int_equal(reduce(zero, host, zero->result, ncclFloat, zero->stream),
                     ncclInvalidArgument);
    cases_expect_misuse("sendbuff");
    assert_int_equal(reduce(zero, ranks[1].data, zero->result, ncclFloat, zero->stream),
                     ncclInvalidArgument);
    cases_expect_misuse("lies on device 1");
    assert_int_equal(reduce(zero, zero->data, zero->data + 1, ncclFloat, zero->stream),
                     ncclInvalidArgument);
    cases_expect_misuse("overlap");
    assert_int_equal(reduce(zero, zero->data, zero->data + RANKS * N - 1, ncclFloat, zero->stream),
                     ncclInvalidArgument);
    cases_expect_misuse("recvbuff");
    assert_int_equal(reduce(zero, zero->data, zero->result, ncclFloat, ranks[1].stream),
                     ncclInvalidUsage);
    assert_int_equal(reduce(zero, zero->data, zero->result, ncclFloat8e4m3, zero->stream),
                     ncclInvalidArgument);
    assert_int_equal(ncclSend(zero->data, N, ncclFloat, RANKS, zero->comm, zero->stream),
                     ncclInvalidArgument);
    assert_int_equal(ncclAllReduce(zero->data, zero->result, N, ncclFloat, ncclSum, NULL, NULL),
                     ncclInvalidArgument);
    assert_int_equal(ncclCommInitRank(&comm, 2, id, 2), ncclInvalidArgument);
    assert_int_equal(ncclCommInitRank(&comm, 2, id, 0), ncclInvalidUsage);
    assert_int_equal(ncclGroupEnd(), ncclInvalidUsage);
}

/* -- threads and processes -- */

struct thread {
    ncclUniqueId id;
    int rank;
};

/* One rank from start to end; nothing in common with the other but the id. */
static void *live(void *argument)
{
    const struct thread *thread = argument;
    const float want[N] = {10, 12, 14};
    struct rank rank;
    open_rank(&rank, thread->rank);
    assert_int_equal(ncclCommInitRank(&rank.comm, RANKS, thread->id, thread->rank), ncclSuccess);
    for (int i = 0; i < 5; i++)
        assert_int_equal(
            ncclAllReduce(rank.data, rank.result, N, ncclFloat, ncclSum, rank.comm, rank.stream),
            ncclSuccess);
    assert_int_equal(cudaStreamSynchronize(rank.stream), cudaSuccess);
    expect(&rank, want, N);
    close_rank(&rank, thread->rank);
    return NULL;
}

static void test_processes(void **state)
{
    (void)state;
    struct thread ranks[RANKS] = {{.rank = 0}, {.rank = 1}};
    int code = -1;
    assert_int_equal(ncclGetUniqueId(&ranks[0].id), ncclSuccess);
    ranks[1].id = ranks[0].id;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        live(&ranks[1]);
        _exit(simt_error_count());
    }
    live(&ranks[0]);
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
    assert_int_equal(access(ranks[0].id.internal, F_OK), -1); /* nothing is left */
}

static void test_threads(void **state)
{
    (void)state;
    struct thread ranks[RANKS] = {{.rank = 0}, {.rank = 1}};
    pthread_t other;
    assert_int_equal(ncclGetUniqueId(&ranks[0].id), ncclSuccess);
    ranks[1].id = ranks[0].id;
    assert_int_equal(pthread_create(&other, NULL, live, &ranks[1]), 0);
    live(&ranks[0]);
    assert_int_equal(pthread_join(other, NULL), 0);
    assert_int_equal(simt_error_count(), 0);
}

/* A rank that does not come is missed, not waited for for ever. */
static void test_missing_rank(void **state)
{
    (void)state;
    ncclUniqueId id;
    ncclComm_t comm = NULL;
    assert_int_equal(cudaSetDevice(0), cudaSuccess);
    assert_int_equal(setenv("STANDIN_NCCL_TIMEOUT_MS", "50", 1), 0);
    assert_int_equal(ncclGetUniqueId(&id), ncclSuccess);
    assert_int_equal(ncclCommInitRank(&comm, RANKS, id, 0), ncclSystemError);
    assert_null(comm);
    assert_int_equal(access(id.internal, F_OK), -1);
    assert_int_equal(unsetenv("STANDIN_NCCL_TIMEOUT_MS"), 0);
}

static void test_abort(void **state)
{
    struct rank *ranks = *state;
    ncclResult_t error = ncclSuccess;
    ncclComm_t comms[RANKS];
    assert_int_equal(cudaSetDevice(0), cudaSuccess);
    assert_int_equal(ncclAllReduce(ranks[0].data, ranks[0].result, N, ncclFloat, ncclSum,
                                   ranks[0].comm, ranks[0].stream),
                     ncclSuccess);
    assert_int_equal(ncclCommAbort(ranks[0].comm), ncclSuccess);
    assert_int_equal(ncclCommGetAsyncError(ranks[1].comm, &error), ncclSuccess);
    assert_int_equal(error, ncclRemoteError);
    assert_int_equal(ncclCommAbort(ranks[1].comm), ncclSuccess);
    assert_int_equal(ncclCommInitAll(comms, RANKS, NULL), ncclSuccess);
    for (int r = 0; r < RANKS; r++)
        ranks[r].comm = comms[r];
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_processes), /* before there are threads */
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_missing_rank),
        cmocka_unit_test_setup_teardown(test_identity, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_all_reduce, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gather_and_scatter, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_root, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_all_to_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_counts_must_agree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_deadlock, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_abort, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_arguments, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("standin_nccl", tests, NULL, NULL);
}
