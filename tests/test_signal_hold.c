/* Signals that come while oneDNN computes: handlers run on the stack of the thread that asked for a
 * product, and nowhere else. meson.build runs it with the code of several processors. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/cpu/gemm.h"
#include "backend/cpu/lane.h"

enum { N_SIGNALS = 400, INTERVAL_US = 200 };
/* Small enough to be many, with sums long enough (512 and 200) to take oneDNN off the stack: on
 * AVX2 in products, on AVX-512 in gradients of any number of rows. */
enum { K = 512, N = 40, ROWS = 64, ANY_ROWS = 200, MANY_ROWS = 256 };

static pthread_t home;
static const char *stack_low, *stack_high;
static volatile sig_atomic_t n_seen;

static void end_with(const char *line)
{
    const ssize_t written = write(STDERR_FILENO, line, strlen(line));
    (void)written;
    _exit(1);
}

/* Ends the test at once: what went wrong may have torn the heap. */
static void on_alarm(int number)
{
    const char *here = __builtin_frame_address(0);
    (void)number;
    if (!pthread_equal(pthread_self(), home))
        end_with("a handler ran on a thread of the team\n");
    if (here < stack_low || here >= stack_high)
        end_with("a handler ran off the stack\n");
    n_seen++;
}

static void set_timer(int interval_us)
{
    const struct itimerval timer = {{0, interval_us}, {0, interval_us}};
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static int open_home(void **state)
{
    pthread_attr_t attributes;
    void *low;
    size_t size;
    (void)state;
    home = pthread_self();
    if (pthread_getattr_np(home, &attributes) != 0 ||
        pthread_attr_getstack(&attributes, &low, &size) != 0)
        return -1;
    (void)pthread_attr_destroy(&attributes);
    stack_high = (char *)low + size;
    stack_low = stack_high - ((size_t)64 << 20); /* it grows; the heap is further away */
    return 0;
}

static float *take(size_t count)
{
    float *numbers = aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64);
    assert_non_null(numbers);
    for (size_t i = 0; i < count; i++)
        numbers[i] = (float)((i * 37 + i / 11) % 17) - 8;
    return numbers;
}

/* Products, and gradients by both ways, into y [MANY_ROWS, N] and two d_w [K, N] behind it. */
static void compute(struct lane *lane, const struct gemm_layout *layout, const void *packed,
                    const float *x, const float *d_y, float *results)
{
    float *first = results + MANY_ROWS * N, *second = first + K * N;
    memset(results, 0, (MANY_ROWS * N + 2 * K * N) * sizeof *results);
    for (int i = 0; i < MANY_ROWS; i += ROWS)
        assert_true(lane_product(lane, layout, packed, results + (int64_t)i * N, x + (int64_t)i * K,
                                 ROWS, (struct gemm_end){0}));
    assert_true(lane_gradient_any(lane, first, x, d_y, ANY_ROWS, K, N));
    assert_true(lane_gradient(lane, second, x, d_y, MANY_ROWS, K, N));
}

static void test_stack(int n_threads)
{
    enum { N_RESULTS = MANY_ROWS * N + 2 * K * N };
    float *x = take(MANY_ROWS * K), *d_y = take(MANY_ROWS * N), *w = take(K * N);
    float *want = take(N_RESULTS), *got = take(N_RESULTS);
    struct lane *lane = lane_open(n_threads);
    assert_non_null(lane);
    struct gemm_layout *layout = lane_choose_layout(lane, K, N, COMPUTE_F32);
    assert_non_null(layout);
    void *packed = lane_room(lane, gemm_layout_bytes(layout));
    assert_non_null(packed);
    assert_true(lane_pack(lane, layout, packed, w, false));
    compute(lane, layout, packed, x, d_y, want);
    n_seen = 0;
    set_timer(INTERVAL_US);
    while (n_seen < N_SIGNALS) {
        compute(lane, layout, packed, x, d_y, got);
        if (memcmp(want, got, N_RESULTS * sizeof *want) != 0)
            end_with("a signal changed a product\n");
    }
    set_timer(0);
    gemm_layout_close(layout);
    lane_close(lane);
    free(x);
    free(d_y);
    free(w);
    free(want);
    free(got);
}

static void test_alone(void **state)
{
    (void)state;
    test_stack(1);
}

static void test_team(void **state)
{
    (void)state;
    test_stack(3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_alone), cmocka_unit_test(test_team)};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_alarm;
    action.sa_flags = (int)SA_RESTART;
    if (sigaction(SIGALRM, &action, NULL) != 0)
        return 1;
    return cmocka_run_group_tests(tests, open_home, NULL);
}
