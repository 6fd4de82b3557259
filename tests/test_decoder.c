/* The decoder step by step against the decoder over whole sequences.
 *
 * Usage: test_decoder BACKEND. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/translator.h"

static const char *backend;
static enum expert_kind experts; /* of the model's mixtures */

enum { V = 11, D = 4, MAX_STEPS = 16, N_OPTIONS = 8 };

struct decoder_test {
    struct fixture fixture;
    struct translator translator;
    double bound; /* of the normalized error */
};

/* options: see decoder_config_options(). */
static void open_decoder(struct decoder_test *test, int options)
{
    struct translator_config config = translator_config_small();
    config.decoder.moe.expert.kind = experts;
    decoder_config_options(&config.decoder, options);
    fixture_open(&test->fixture, backend);
    translator_init(&test->translator, &test->fixture, &config);
    fixture_start(&test->fixture, 0.8);
    test->fixture.pass.is_training = false;
    test->bound = test->fixture.backend.real == DTYPE_F64 ? 1e-24 : 1e-11;
}

static struct tensor logits_of(struct decoder_test *test, const struct tensor *readout)
{
    const struct pass *pass = &test->fixture.pass;
    const struct tensor logits = pass_2d(pass, readout->dim[0], V);
    output_logits(&test->translator.output, pass, &logits, readout);
    return logits;
}

/* logits [N, V] of a teacher-forced pass over tokens [T, B]. */
static struct tensor forced(struct decoder_test *test, struct decoder_record *record,
                            const struct tensor *tokens, const struct tensor *memory,
                            const struct tensor *lengths)
{
    const struct pass *pass = &test->fixture.pass;
    const struct sequence target = {.ids = *tokens};
    const struct tensor readout =
        decoder_forward(&test->translator.decoder, pass, record, &target, memory, lengths, 0);
    return logits_of(test, &readout);
}

static void expect_near(struct decoder_test *test, const char *what, const struct tensor *got,
                        const struct tensor *want)
{
    struct fixture *fixture = &test->fixture;
    assert_int_equal(tensor_count(got), tensor_count(want));
    const double error = normalized_error(fixture_values(fixture, got),
                                          fixture_values(fixture, want), tensor_count(want));
    if (!(error <= test->bound))
        fail_msg("%s: normalized error %g is above %g", what, error, test->bound);
}

/* T steps of W = 1 are one pass over T. */
static void check_steps(int options)
{
    enum { S = 5, T = 7, B = 3 };
    const int32_t lengths[B] = {5, 1, 3};
    struct decoder_test test;
    open_decoder(&test, options);
    struct fixture *fixture = &test.fixture;
    const struct pass *pass = &fixture->pass;
    const struct tensor memory = fixture_random_3d(fixture, S, B, D, 1);
    const struct tensor source_lengths = fixture_ints(fixture, lengths, B);
    const struct tensor tokens = fixture_ids(fixture, T, B, V);
    struct decoder_record record;
    const struct tensor all = forced(&test, &record, &tokens, &memory, &source_lengths);
    struct decoder_state decoder_state;
    decoder_start(&test.translator.decoder, pass, &decoder_state, &memory, &source_lengths, 1);
    for (int64_t t = 0; t < T; t++) {
        const struct tensor now = tensor_slice(&tokens, t, 1);
        const struct tensor wanted = tensor_slice(&all, t * B, B);
        const struct tensor wanted_weights = tensor_slice(&record.attention.weights, t, 1);
        struct tensor readout, weights;
        const int32_t *fed = fixture_read_ints(fixture, &now);
        decoder_step(&test.translator.decoder, pass, &decoder_state, fed, &readout, &weights);
        const struct tensor logits = logits_of(&test, &readout);
        expect_near(&test, "logits", &logits, &wanted);
        expect_near(&test, "attention", &weights, &wanted_weights);
    }
    fixture_close(fixture);
}

static void test_steps(void **state)
{
    (void)state;
    for (int options = 0; options < N_OPTIONS; options++)
        check_steps(options);
}

/* -- a search: hypotheses split, die and change places while sentences leave -- */

enum { SEARCH_B = 4, SEARCH_S = 6, SEARCH_W = 3, MAX_ROWS = SEARCH_B * SEARCH_W };

struct search {
    struct decoder_test test;
    struct decoder_state state;
    struct tensor memory;         /* [S, B, D] the caller's */
    struct tensor source_lengths; /* [B] the caller's */
    int32_t lengths[SEARCH_B];
    int32_t sentences[SEARCH_B]; /* the first number of each that is still there */
    int64_t n_beam, n_sentences;
    int32_t history[MAX_ROWS][MAX_STEPS]; /* tokens of each hypothesis, rows w*B + b */
    int64_t n_steps;
};

static void open_search(struct search *search, int options)
{
    static const int32_t lengths[SEARCH_B] = {6, 1, 4, 2};
    *search = (struct search){.n_beam = 1, .n_sentences = SEARCH_B};
    open_decoder(&search->test, options);
    struct fixture *fixture = &search->test.fixture;
    search->memory = fixture_random_3d(fixture, SEARCH_S, SEARCH_B, D, 1);
    memcpy(search->lengths, lengths, sizeof lengths);
    for (int32_t b = 0; b < SEARCH_B; b++)
        search->sentences[b] = b;
    search->source_lengths = fixture_ints(fixture, lengths, SEARCH_B);
    decoder_start(&search->test.translator.decoder, &fixture->pass, &search->state, &search->memory,
                  &search->source_lengths, SEARCH_W);
}

/* What a pass over this hypothesis alone says: its last logits [1, V] and attention [1, 1, S]. */
static void alone(struct search *search, int64_t row, struct tensor *logits, struct tensor *weights)
{
    struct fixture *fixture = &search->test.fixture;
    const int32_t b = search->sentences[row % search->n_sentences], length = search->lengths[b];
    int32_t rows[SEARCH_S];
    for (int32_t s = 0; s < length; s++)
        rows[s] = s * SEARCH_B + b;
    const struct tensor index = fixture_ints(fixture, rows, length);
    const struct tensor memory = pass_3d(&fixture->pass, length, 1, D);
    fixture->backend.ops->gather_rows(&fixture->backend, &memory, &search->memory, &index);
    const struct tensor one_length = fixture_ints(fixture, &length, 1);
    const struct tensor flat = fixture_ints(fixture, search->history[row], search->n_steps);
    const struct tensor tokens = tensor_as_2d(&flat, search->n_steps, 1);
    struct decoder_record record;
    const struct tensor all = forced(&search->test, &record, &tokens, &memory, &one_length);
    *logits = tensor_slice(&all, search->n_steps - 1, 1);
    *weights = tensor_slice(&record.attention.weights, search->n_steps - 1, 1);
}

/* Feeds random tokens and compares every hypothesis with itself alone. */
static void step(struct search *search)
{
    struct fixture *fixture = &search->test.fixture;
    const struct pass_mark mark = pass_mark(&fixture->pass);
    const int64_t n_rows = search->n_beam * search->n_sentences;
    int32_t tokens[MAX_ROWS];
    for (int64_t row = 0; row < n_rows; row++)
        tokens[row] = search->history[row][search->n_steps] = fixture_below(fixture, V);
    search->n_steps++;
    struct tensor readout, weights;
    decoder_step(&search->test.translator.decoder, &fixture->pass, &search->state, tokens, &readout,
                 &weights);
    const struct tensor logits = logits_of(&search->test, &readout);
    assert_int_equal(weights.dim[0], search->n_beam);
    assert_int_equal(weights.dim[1], search->n_sentences);
    const struct tensor flat = tensor_as_2d(&weights, n_rows, weights.dim[2]);
    for (int64_t row = 0; row < n_rows; row++) {
        struct tensor wanted, wanted_weights;
        alone(search, row, &wanted, &wanted_weights);
        const struct tensor got = tensor_slice(&logits, row, 1);
        expect_near(&search->test, "logits", &got, &wanted);
        const struct tensor all = tensor_slice(&flat, row, 1);
        const struct tensor columns = tensor_as_2d(&all, all.dim[1], 1);
        const struct tensor real = tensor_slice(&columns, 0, wanted_weights.dim[2]);
        expect_near(&search->test, "attention", &real, &wanted_weights);
        for (int64_t s = wanted_weights.dim[2]; s < all.dim[1]; s++)
            assert_true(fixture_get(fixture, &all, s) == 0);
    }
    pass_release(&fixture->pass, mark);
}

/* Each new hypothesis continues a random old one of its sentence. */
static void reorder(struct search *search, int64_t n_beam)
{
    struct fixture *fixture = &search->test.fixture;
    int32_t parents[MAX_ROWS], old[MAX_ROWS][MAX_STEPS];
    memcpy(old, search->history, sizeof old);
    const int64_t n_rows = n_beam * search->n_sentences;
    for (int64_t row = 0; row < n_rows; row++) {
        const int32_t w = fixture_below(fixture, (int32_t)search->n_beam);
        parents[row] = (int32_t)(w * search->n_sentences + row % search->n_sentences);
        memcpy(search->history[row], old[parents[row]], sizeof old[0]);
    }
    decoder_reorder(&search->test.translator.decoder, &search->state, parents, n_beam);
    search->n_beam = n_beam;
}

static void keep(struct search *search, const int32_t *kept, int64_t count)
{
    int32_t old[MAX_ROWS][MAX_STEPS], lengths[SEARCH_B];
    memcpy(old, search->history, sizeof old);
    for (int64_t w = 0; w < search->n_beam; w++)
        for (int64_t i = 0; i < count; i++)
            memcpy(search->history[w * count + i], old[w * search->n_sentences + kept[i]],
                   sizeof old[0]);
    for (int64_t i = 0; i < count; i++) {
        search->sentences[i] = search->sentences[kept[i]];
        lengths[i] = search->lengths[search->sentences[i]];
    }
    decoder_keep(&search->test.translator.decoder, &search->test.fixture.pass, &search->state, kept,
                 count, lengths);
    search->n_sentences = count;
}

static void check_search(int options)
{
    struct search search;
    open_search(&search, options);
    step(&search);
    reorder(&search, 3);
    step(&search);
    reorder(&search, 3);
    step(&search);
    keep(&search, (const int32_t[]){0, 2, 3}, 3);
    step(&search);
    reorder(&search, 2);
    step(&search);
    keep(&search, (const int32_t[]){1, 2}, 2);
    step(&search);
    reorder(&search, 3);
    step(&search);
    keep(&search, (const int32_t[]){1}, 1);
    step(&search);
    reorder(&search, 1);
    step(&search);
    fixture_close(&search.test.fixture);
}

static void test_search(void **state)
{
    (void)state;
    for (int options = 0; options < N_OPTIONS; options++)
        check_search(options);
}

/* Sentences leave before the first step and one by one from the front; all may stay. */
static void check_search_early(int options)
{
    struct search search;
    open_search(&search, options);
    keep(&search, (const int32_t[]){0, 1, 2, 3}, 4);
    keep(&search, (const int32_t[]){1, 2, 3}, 3);
    reorder(&search, 3);
    step(&search);
    keep(&search, (const int32_t[]){0, 1}, 2);
    keep(&search, (const int32_t[]){0}, 1);
    step(&search);
    fixture_close(&search.test.fixture);
}

static void test_search_early(void **state)
{
    (void)state;
    for (int options = 0; options < N_OPTIONS; options++)
        check_search_early(options);
}

/* The caller's memory and lengths are read, never written. */
static void test_source_is_untouched(void **state)
{
    (void)state;
    struct search search;
    open_search(&search, 1);
    struct fixture *fixture = &search.test.fixture;
    const double *before = fixture_values(fixture, &search.memory);
    step(&search);
    keep(&search, (const int32_t[]){1, 2, 3}, 3);
    step(&search);
    keep(&search, (const int32_t[]){1, 2}, 2);
    step(&search);
    keep(&search, (const int32_t[]){1}, 1);
    assert_memory_equal(before, fixture_values(fixture, &search.memory),
                        (size_t)tensor_count(&search.memory) * sizeof *before);
    const int32_t *lengths = fixture_read_ints(fixture, &search.source_lengths);
    assert_memory_equal(search.lengths, lengths, SEARCH_B * sizeof *lengths);
    fixture_close(fixture);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: test_decoder BACKEND\n");
        return 2;
    }
    backend = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_search),
        cmocka_unit_test(test_search_early),
        cmocka_unit_test(test_source_is_untouched),
    };
    experts = EXPERT_RELU;
    int n_failed = cmocka_run_group_tests_name(backend, tests, NULL, NULL);
    experts = EXPERT_LSTM;
    n_failed += cmocka_run_group_tests_name("LSTM experts", tests, NULL, NULL);
    return n_failed;
}
