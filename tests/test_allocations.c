/* No step of training or of a search asks for memory once it has met its largest shapes.
 *
 * The program is linked so that this library's calls for memory come here first (meson.build).
 * oneDNN's own, a few small ones each time it runs something, are not seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "beam/beam.h"
#include "tests/translator.h"

enum { N_STEPS = 10, BOS = 0, EOS = 1 };

static atomic_int n_calls;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

void *__wrap_malloc(size_t size)
{
    n_calls++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    n_calls++;
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    n_calls++;
    return __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    n_calls++;
    return __real_aligned_alloc(alignment, size);
}

struct trial {
    struct fixture fixture;
    struct translator translator;
    struct translator_batch batch;
    int64_t n_tokens; /* made by the last search */
};

static const int32_t source_lengths[] = {7, 3, 5, 7}, target_lengths[] = {4, 6, 1, 6};
enum { N_SENTENCES = 4, N_SOURCE = 7, N_TARGET = 6 };

static void open_trial(struct trial *trial, bool is_training)
{
    const struct translator_config config = translator_config_small();
    *trial = (struct trial){0};
    fixture_open(&trial->fixture, "cpu");
    translator_init(&trial->translator, &trial->fixture, &config);
    fixture_start(&trial->fixture, 0.5);
    trial->fixture.pass.is_training = is_training;
    trial->batch = translator_batch_random(&trial->fixture, (int32_t)config.vocabulary, N_SOURCE,
                                           N_TARGET, N_SENTENCES, source_lengths, target_lengths);
}

static void train_once(struct trial *trial)
{
    struct translator_record record;
    const struct pass_mark mark = pass_mark(&trial->fixture.pass);
    translator_loss(&trial->translator, &trial->fixture, &record, &trial->batch, true);
    pass_release(&trial->fixture.pass, mark);
}

/* A search of ten steps or more: the end is improbable. */
static void search_once(struct trial *trial)
{
    static const struct beam_config config = {
        .beam = 3, .n_best = 2, .bos = BOS, .eos = EOS, .max_ratio = 1, .max_extra = N_STEPS};
    struct fixture *fixture = &trial->fixture;
    struct encoder_record record;
    struct nbest results[N_SENTENCES];
    const struct pass_mark mark = pass_mark(&fixture->pass);
    const struct tensor memory = encoder_forward(&trial->translator.encoder, &fixture->pass,
                                                 &record, &trial->batch.source, 0);
    assert_int_equal(beam_search(&trial->translator.decoder, &fixture->pass, &memory,
                                 source_lengths, &config, &fixture->host, results),
                     STATUS_OK);
    trial->n_tokens = 0;
    for (int i = 0; i < N_SENTENCES; i++)
        if (results[i].items[0].count > trial->n_tokens)
            trial->n_tokens = results[i].items[0].count;
    pass_release(&fixture->pass, mark);
}

static void test_search(void **state)
{
    (void)state;
    struct trial trial;
    open_trial(&trial, false);
    fixture_set(&trial.fixture, &trial.translator.output.bias->weight.value, EOS, -20);
    search_once(&trial);
    assert_true(trial.n_tokens >= N_STEPS);
    const int before = n_calls;
    assert_true(before > 0);
    search_once(&trial);
    assert_int_equal(n_calls, before);
    fixture_close(&trial.fixture);
}

static void test_training(void **state)
{
    (void)state;
    struct trial trial;
    open_trial(&trial, true);
    train_once(&trial);
    const int before = n_calls;
    for (int i = 0; i < N_STEPS; i++)
        train_once(&trial);
    assert_int_equal(n_calls, before);
    fixture_close(&trial.fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_search),
                                       cmocka_unit_test(test_training)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
