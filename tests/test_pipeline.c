/* Rows in, results out: order, threads, failures and pauses; and pieces of work spread over
 * threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/parallel.h"
#include "tests/scratch.h"
#include "text/pipeline.h"

enum { N_ROWS = 30000 };

static struct scratch scratch;

/* What the calls of one run see. */
struct notes {
    struct buffer delivered;
    int64_t failing_line; /* 0: none */
    int n_deliveries;
    enum status delivery; /* what delivering returns */
};

/* Joins the row's lines, after work of very different lengths. */
static enum status join(void *context, int thread, const struct line *row, struct buffer *output)
{
    const struct notes *notes = context;
    (void)thread;
    if (row[0].number == notes->failing_line) {
        assert_int_equal(buffer_append_string(output, "half of a resu"), STATUS_OK);
        return status_set(STATUS_DATA, "no good");
    }
    volatile uint64_t work = 0;
    for (int64_t i = 0; i < (row[0].number * 7919) % 4000; i++)
        work += (uint64_t)i;
    return buffer_printf(output, "%lld %s-%s\n", (long long)row[0].number, row[0].bytes,
                         row[1].bytes);
}

static enum status collect(void *context, const struct buffer *output, bool is_pause)
{
    (void)is_pause;
    struct notes *notes = context;
    notes->n_deliveries++;
    assert_int_equal(
        buffer_append(&notes->delivered, output->data ? output->data : "", output->size),
        STATUS_OK);
    return notes->delivery;
}

/* Numbered lines, every 50th of them empty; the text of line n differs between the two files. */
static const char *write_rows(const char *name, char letter, int64_t n)
{
    struct buffer text = {0};
    for (int64_t i = 1; i <= n; i++) {
        const int width = i % 50 == 0 ? 0 : (int)(i * 31 % 60) + 1;
        for (int k = 0; k < width; k++)
            assert_int_equal(buffer_printf(&text, "%c", letter + (int)(i + k) % 20), STATUS_OK);
        assert_int_equal(buffer_append_string(&text, "\n"), STATUS_OK);
    }
    const char *path = scratch_write(&scratch, name, text.data, text.size);
    buffer_free(&text);
    return path;
}

static enum status run_rows(const char *left, const char *right, int threads, struct notes *notes)
{
    struct lines *inputs[2] = {NULL, NULL};
    assert_int_equal(lines_open(&inputs[0], left), STATUS_OK);
    assert_int_equal(lines_open(&inputs[1], right), STATUS_OK);
    const struct pipeline job = {inputs, 2, threads, notes, join, collect};
    const enum status status = pipeline_run(&job);
    lines_close(inputs[0]);
    lines_close(inputs[1]);
    return status;
}

/* The results as a plain loop makes them. */
static void make_expected(const char *left, const char *right, int64_t n, struct buffer *expected)
{
    struct lines *inputs[2] = {NULL, NULL};
    assert_int_equal(lines_open(&inputs[0], left), STATUS_OK);
    assert_int_equal(lines_open(&inputs[1], right), STATUS_OK);
    for (int64_t i = 1; i <= n; i++) {
        struct line row[2];
        assert_int_equal(lines_next(inputs[0], &row[0]), STATUS_OK);
        assert_int_equal(lines_next(inputs[1], &row[1]), STATUS_OK);
        assert_int_equal(
            buffer_printf(expected, "%lld %s-%s\n", (long long)i, row[0].bytes, row[1].bytes),
            STATUS_OK);
    }
    lines_close(inputs[0]);
    lines_close(inputs[1]);
}

static void keeps_the_order_whatever_the_threads(void **state)
{
    (void)state;
    char *left = strdup(write_rows("left", 'a', N_ROWS));
    char *right = strdup(write_rows("right", 'A', N_ROWS));
    struct buffer expected = {0};
    make_expected(left, right, N_ROWS, &expected);
    static const int threads[] = {1, 2, 3, 9};
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        struct notes notes = {0};
        assert_int_equal(run_rows(left, right, threads[i], &notes), STATUS_OK);
        assert_int_equal(notes.delivered.size, expected.size);
        assert_memory_equal(notes.delivered.data, expected.data, expected.size);
        assert_true(notes.n_deliveries > 3); /* several blocks, or nothing was tested */
        buffer_free(&notes.delivered);
    }
    buffer_free(&expected);
    free(left);
    free(right);
}

static void delivers_what_was_before_a_failure(void **state)
{
    (void)state;
    char *left = strdup(write_rows("left", 'a', N_ROWS));
    char *right = strdup(write_rows("right", 'A', N_ROWS));
    static const int64_t places[] = {1, 2, 9000, N_ROWS};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        for (int threads = 1; threads <= 4; threads += 3) {
            struct buffer expected = {0};
            make_expected(left, right, places[i] - 1, &expected);
            struct notes notes = {.failing_line = places[i]};
            assert_int_equal(run_rows(left, right, threads, &notes), STATUS_DATA);
            char message[256];
            snprintf(message, sizeof message, "%s:%lld: no good", left, (long long)places[i]);
            assert_string_equal(status_message(), message);
            assert_int_equal(notes.delivered.size, expected.size);
            if (expected.size > 0)
                assert_memory_equal(notes.delivered.data, expected.data, expected.size);
            buffer_free(&notes.delivered);
            buffer_free(&expected);
        }
    }
    free(left);
    free(right);
}

static void names_files_that_are_not_parallel(void **state)
{
    (void)state;
    char *left = strdup(write_rows("left", 'a', 10000));
    char *right = strdup(write_rows("right", 'A', 9998));
    for (int threads = 1; threads <= 2; threads++) {
        struct notes notes = {0};
        assert_int_equal(run_rows(left, right, threads, &notes), STATUS_DATA);
        char message[256];
        snprintf(message, sizeof message, "%s has 10000 lines but %s has 9998", left, right);
        assert_string_equal(status_message(), message);
        size_t n_lines = 0;
        for (size_t i = 0; i < notes.delivered.size; i++)
            n_lines += notes.delivered.data[i] == '\n' ? 1 : 0;
        assert_int_equal(n_lines, 9998);
        buffer_free(&notes.delivered);
    }
    free(left);
    free(right);
}

static void ends_when_delivery_fails(void **state)
{
    (void)state;
    char *left = strdup(write_rows("left", 'a', N_ROWS));
    char *right = strdup(write_rows("right", 'A', N_ROWS));
    struct notes notes = {.delivery = STATUS_IO};
    assert_int_equal(run_rows(left, right, 3, &notes), STATUS_IO);
    assert_int_equal(notes.n_deliveries, 1);
    buffer_free(&notes.delivered);
    free(left);
    free(right);
}

/* Somebody at the other end of two pipes: asks, and waits for the answer before asking again. */
struct talk {
    int question, answer; /* descriptors to write to */
    int n_answered;
};

static enum status echo(void *context, int thread, const struct line *row, struct buffer *output)
{
    (void)context;
    (void)thread;
    return buffer_append_string(output, row[0].bytes);
}

static enum status ask_again(void *context, const struct buffer *output, bool is_pause)
{
    struct talk *talk = context;
    static const char *const words[] = {"one", "two", "three"};
    if (output->size == 0)
        return STATUS_OK;
    assert_true(is_pause);
    assert_string_equal(output->data, words[talk->n_answered]);
    talk->n_answered++;
    if (talk->n_answered < 3) {
        assert_true(dprintf(talk->question, "%s\n", words[talk->n_answered]) > 0);
    } else if (talk->question >= 0) {
        close(talk->question);
        talk->question = -1;
    }
    return STATUS_OK;
}

static void answers_before_waiting_for_more(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        char path[64];
        snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
        struct lines *lines = NULL;
        assert_true(dprintf(ends[1], "one\n") > 0);
        assert_int_equal(lines_open(&lines, path), STATUS_OK);
        close(ends[0]);
        struct talk talk = {.question = ends[1]};
        const struct pipeline job = {&lines, 1, threads, &talk, echo, ask_again};
        alarm(60); /* a pipeline that waits for more input first would wait for ever */
        assert_int_equal(pipeline_run(&job), STATUS_OK);
        alarm(0);
        assert_int_equal(talk.n_answered, 3);
        lines_close(lines);
    }
}

enum { N_PIECES = 5000 };

struct pieces {
    atomic_int seen[N_PIECES];
    int threads;
    int64_t failing[2];
};

static enum status do_piece(void *context, int thread, int64_t index)
{
    struct pieces *pieces = context;
    CHECK(thread >= 0 && thread < pieces->threads, "thread %d", thread);
    atomic_fetch_add(&pieces->seen[index], 1);
    if (index == pieces->failing[0] || index == pieces->failing[1]) {
        const enum status status = status_set(STATUS_DATA, "piece %lld", (long long)index);
        status_hint("hint %lld", (long long)index);
        return status;
    }
    return STATUS_OK;
}

static void does_every_piece_once(void **state)
{
    (void)state;
    for (int threads = 0; threads <= 5; threads++) {
        struct pieces *pieces = calloc(1, sizeof *pieces);
        assert_non_null(pieces);
        pieces->threads = threads > 1 ? threads : 1;
        pieces->failing[0] = pieces->failing[1] = -1;
        assert_int_equal(parallel_for(threads, N_PIECES, do_piece, pieces), STATUS_OK);
        for (int i = 0; i < N_PIECES; i++)
            assert_int_equal(pieces->seen[i], 1);
        assert_int_equal(parallel_for(threads, 0, do_piece, pieces), STATUS_OK);
        free(pieces);
    }
}

static void reports_the_first_failure(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        struct pieces *pieces = calloc(1, sizeof *pieces);
        assert_non_null(pieces);
        pieces->threads = threads;
        pieces->failing[0] = 2000;
        pieces->failing[1] = 2001;
        assert_int_equal(parallel_for(threads, N_PIECES, do_piece, pieces), STATUS_DATA);
        assert_string_equal(status_message(), "piece 2000");
        assert_string_equal(status_hint_text(), "hint 2000");
        assert_int_equal(pieces->seen[1999], 1);
        assert_int_equal(pieces->seen[N_PIECES - 1], 0);
        free(pieces);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_order_whatever_the_threads),
        cmocka_unit_test(delivers_what_was_before_a_failure),
        cmocka_unit_test(names_files_that_are_not_parallel),
        cmocka_unit_test(ends_when_delivery_fails),
        cmocka_unit_test(answers_before_waiting_for_more),
        cmocka_unit_test(does_every_piece_once),
        cmocka_unit_test(reports_the_first_failure),
    };
    scratch_open(&scratch);
    const int failures = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_close(&scratch);
    return failures;
}
