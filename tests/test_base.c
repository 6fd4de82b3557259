/* Status, arena, buffer and clock. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/buffer.h"
#include "base/clock.h"

/* -- status -- */

static void test_status_message(void **state)
{
    (void)state;
    assert_int_equal(status_set(STATUS_IO, "cannot open %s: %d", "a file", 7), STATUS_IO);
    assert_string_equal(status_message(), "cannot open a file: 7");
    assert_string_equal(status_hint_text(), "");
    status_hint("try %s", "again");
    assert_string_equal(status_hint_text(), "try again");
    (void)status_set(STATUS_DATA, "line 3: %s", status_message());
    assert_string_equal(status_message(), "line 3: cannot open a file: 7");
    assert_string_equal(status_hint_text(), "");
}

static void test_status_is_cut(void **state)
{
    (void)state;
    char text[10000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    (void)status_set(STATUS_FAILED, "%s", text);
    assert_in_range(strlen(status_message()), 1000, sizeof text - 2);
}

static void test_exit_codes(void **state)
{
    (void)state;
    const struct {
        enum status code;
        int wanted;
    } cases[] = {{STATUS_OK, 0},       {STATUS_FAILED, 1},     {STATUS_IO, 1},
                 {STATUS_USAGE, 2},    {STATUS_CONFIG, 2},     {STATUS_DATA, 3},
                 {STATUS_FORMAT, 3},   {STATUS_MEMORY, 4},     {STATUS_DEVICE, 1},
                 {STATUS_DIVERGED, 5}, {STATUS_INTERRUPTED, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(status_exit_code(cases[i].code), cases[i].wanted);
}

static void *set_other_message(void *unused)
{
    (void)status_set(STATUS_IO, "another thread");
    return unused;
}

static void test_status_is_per_thread(void **state)
{
    (void)state;
    (void)status_set(STATUS_IO, "this thread");
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, set_other_message, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(status_message(), "this thread");
}

/* Runs a function in a child, with its stderr in text; returns the wait status. */
static int run_child(void (*function)(void), char *text, size_t size)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        function();
        _exit(0);
    }
    close(ends[1]);
    size_t used = 0;
    for (ssize_t got = 0; (got = read(ends[0], text + used, size - 1 - used)) > 0;)
        used += (size_t)got;
    text[used] = '\0';
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void break_a_check(void)
{
    CHECK(1 + 1 == 3, "sum of %d", 2);
}

static void take_too_much(void)
{
    struct arena arena;
    if (arena_init(&arena, 4096) == STATUS_OK)
        arena_take(&arena, 4097);
}

static void release_above(void)
{
    struct arena arena;
    if (arena_init(&arena, 4096) == STATUS_OK)
        arena_release(&arena, 64);
}

static void test_check_aborts(void **state)
{
    (void)state;
    char text[1024];
    const int status = run_child(break_a_check, text, sizeof text);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "test_base.c:"));
    assert_non_null(strstr(text, "CHECK(1 + 1 == 3) failed: sum of 2\n"));
}

static void print_with_hint(void)
{
    (void)status_set(STATUS_IO, "what: why");
    status_hint("what to do");
    status_print();
}

static void test_status_print(void **state)
{
    (void)state;
    char text[1024];
    assert_int_equal(run_child(print_with_hint, text, sizeof text), 0);
    assert_string_equal(text, "mixt: what: why\nhint: what to do\n");
}

/* -- arena -- */

static void test_arena(void **state)
{
    (void)state;
    struct arena arena;
    assert_int_equal(arena_init(&arena, 1 << 20), STATUS_OK);
    char *first = arena_take(&arena, 1);
    const size_t mark = arena_mark(&arena);
    char *second = arena_take(&arena, 100);
    assert_int_equal((uintptr_t)first % ARENA_ALIGNMENT, 0);
    assert_int_equal((uintptr_t)second % ARENA_ALIGNMENT, 0);
    assert_true(second >= first + 1);
    for (int i = 0; i < 100; i++)
        assert_int_equal(second[i], 0);
    memset(second, 7, 100);
    const size_t highest = arena_mark(&arena);
    arena_release(&arena, mark);
    assert_int_equal(arena_mark(&arena), mark);
    assert_int_equal(arena.high_mark, highest);
    char *again = arena_take_zeroed(&arena, 100);
    assert_ptr_equal(again, second);
    for (int i = 0; i < 100; i++)
        assert_int_equal(again[i], 0);
    assert_string_equal(arena_copy_string(&arena, "text"), "text");
    arena_take(&arena, arena.capacity - arena.used);
    assert_int_equal(arena.used, arena.capacity);
    arena_free(&arena);
    assert_null(arena.memory);
    assert_int_equal(arena.capacity, 0);
    arena_free(&arena);
}

static void test_arena_bounds(void **state)
{
    (void)state;
    char text[1024];
    int status = run_child(take_too_much, text, sizeof text);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    status = run_child(release_above, text, sizeof text);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

/* A source of `left` blocks that keeps count. */
struct blocks {
    int left, taken, given;
    size_t bytes;
};

static void *take_block(void *context, size_t size)
{
    struct blocks *blocks = context;
    if (blocks->left-- <= 0)
        return NULL;
    blocks->taken++;
    blocks->bytes += size;
    return aligned_alloc(ARENA_SOURCE_ALIGNMENT, size);
}

static void give_block(void *context, void *block, size_t size)
{
    struct blocks *blocks = context;
    blocks->given++;
    blocks->bytes -= size;
    free(block);
}

/* Takes count pieces and writes to all of them, so that none may overlap another. */
static void fill_pieces(struct arena *arena, size_t size, int count)
{
    char *pieces[64];
    for (int i = 0; i < count; i++) {
        pieces[i] = arena_take(arena, size);
        assert_int_equal((uintptr_t)pieces[i] % ARENA_SOURCE_ALIGNMENT, 0);
        memset(pieces[i], i, size);
    }
    for (int i = 0; i < count; i++)
        assert_true(pieces[i][0] == i && pieces[i][size - 1] == i);
}

static void test_arena_source(void **state)
{
    (void)state;
    const size_t large = (size_t)3 << 20;
    struct blocks blocks = {.left = 100};
    struct arena arena;
    const struct arena_source source = {take_block, give_block, &blocks};
    assert_int_equal(arena_init_from(&arena, &source), STATUS_OK);
    assert_int_equal(blocks.taken, 0);
    fill_pieces(&arena, 1000, 8);
    assert_int_equal(blocks.taken, 1);
    const size_t mark = arena_mark(&arena);
    for (int round = 0; round < 3; round++) {
        fill_pieces(&arena, large, 5);
        fill_pieces(&arena, 1 << 19, 20);
        arena_release(&arena, mark);
        if (round == 0)
            blocks.left = 0; /* from here on nothing more is wanted */
    }
    assert_int_equal(blocks.given, 0);
    assert_true(arena.high_mark > 5 * large && arena.high_mark <= arena.capacity);
    assert_int_equal(arena.capacity, blocks.bytes);

    /* Blocks that are free and too small go back before a larger one is taken. */
    blocks.left = 1;
    const size_t capacity = arena.capacity;
    fill_pieces(&arena, capacity, 1);
    assert_true(blocks.given > 0 && arena.capacity < 2 * capacity);
    const size_t used = arena_mark(&arena);
    assert_non_null(arena_take(&arena, 2 * capacity)); /* of nothing: the source has failed */
    assert_int_equal(arena_mark(&arena), used);
    arena_free(&arena);
    assert_int_equal(blocks.taken, blocks.given);
    assert_int_equal(blocks.bytes, 0);
}

static void test_arena_sizes(void **state)
{
    (void)state;
    struct arena arena;
    assert_int_equal(arena_init(&arena, 0), STATUS_OK);
    const int64_t before = clock_peak_bytes();
    assert_true(arena.capacity >= (size_t)1 << 30);
    char *far = arena_take(&arena, (size_t)1 << 30);
    far[((size_t)1 << 30) - 1] = 1;
    assert_true(clock_peak_bytes() - before < (int64_t)1 << 28);
    arena_free(&arena);
    assert_int_equal(arena_init(&arena, SIZE_MAX / 2), STATUS_MEMORY);
    assert_null(arena.memory);
    assert_true(strlen(status_hint_text()) > 0);
}

/* -- buffer -- */

static void test_buffer(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    buffer_clear(&buffer);
    assert_int_equal(buffer_append(&buffer, NULL, 0), STATUS_OK);
    assert_int_equal(buffer.size, 0);
    assert_string_equal(buffer.data, "");
    assert_int_equal(buffer_append(&buffer, "a\0b", 3), STATUS_OK);
    assert_int_equal(buffer_append_string(&buffer, "cd"), STATUS_OK);
    assert_int_equal(buffer_printf(&buffer, "%05d|%s", 42, "e"), STATUS_OK);
    assert_int_equal(buffer.size, 12);
    assert_memory_equal(buffer.data, "a\0bcd00042|e", 13);
    buffer_clear(&buffer);
    assert_int_equal(buffer.size, 0);
    assert_string_equal(buffer.data, "");
    buffer_free(&buffer);
    assert_null(buffer.data);
    buffer_free(&buffer);
}

static void test_buffer_grows(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    for (int i = 0; i < 10000; i++) {
        const char byte = (char)('a' + i % 26);
        assert_int_equal(buffer_append(&buffer, &byte, 1), STATUS_OK);
    }
    assert_int_equal(buffer.size, 10000);
    assert_true(buffer.capacity > buffer.size);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(buffer.data[i], 'a' + i % 26);
    assert_int_equal(buffer.data[10000], 0);
    const struct buffer before = buffer;
    assert_int_equal(buffer_reserve(&buffer, SIZE_MAX - 5), STATUS_MEMORY);
    assert_int_equal(buffer_reserve(&buffer, SIZE_MAX / 2), STATUS_MEMORY);
    assert_memory_equal(&before, &buffer, sizeof buffer);
    assert_int_equal(buffer_reserve(&buffer, 5000), STATUS_OK);
    assert_int_equal(buffer.size, 10000);
    assert_true(buffer.capacity >= 15001);
    buffer_free(&buffer);
}

/* -- clock -- */

static void test_clock(void **state)
{
    (void)state;
    const double start = clock_seconds(), cpu = clock_cpu_seconds();
    volatile double sum = 0;
    while (clock_seconds() - start < 0.05)
        sum = sum + 1;
    assert_true(clock_cpu_seconds() >= cpu);
    assert_true(clock_cpu_seconds() - cpu < 10);
    assert_true(clock_peak_bytes() > 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status_message), cmocka_unit_test(test_status_is_cut),
        cmocka_unit_test(test_exit_codes),     cmocka_unit_test(test_status_is_per_thread),
        cmocka_unit_test(test_check_aborts),   cmocka_unit_test(test_status_print),
        cmocka_unit_test(test_arena),          cmocka_unit_test(test_arena_bounds),
        cmocka_unit_test(test_arena_source),   cmocka_unit_test(test_arena_sizes),
        cmocka_unit_test(test_buffer),         cmocka_unit_test(test_buffer_grows),
        cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
