/* Beam search over a small random decoder, against searches written the slow way.
 *
 * The slow searches run the teacher-forced decoder over every prefix anew, look at the whole
 * vocabulary, and never stop early. One file, because every test needs them and the same model. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "beam/beam.h"
#include "tests/fixture.h"

enum { BOS, EOS, PAD, FIRST_WORD };
enum { MAX_TOKENS = 64, MAX_FOUND = 2000, MAX_WORDS = 64 };

/* -- the model -- */

static enum expert_kind experts; /* of its mixture */
static bool is_gnmt;             /* with input feeding and additive attention */

struct bench {
    struct fixture fixture;
    struct embedding embedding;
    struct output output;
    struct decoder decoder;
    int64_t n_words;
};

/* eos_bias makes sentences end sooner or later. */
static void open_bench(struct bench *bench, const char *backend, int64_t dim, int64_t n_words,
                       double eos_bias)
{
    *bench = (struct bench){.n_words = n_words};
    struct fixture *fixture = &bench->fixture;
    fixture_open(fixture, backend);
    const struct decoder_config config = {
        .n_layers = 2,
        .dim = dim,
        .hidden = dim + 4,
        .has_projection = true,
        .attention_dim = dim - 2,
        .attention = is_gnmt ? ATTENTION_ADDITIVE : ATTENTION_FACTORED,
        .has_input_feeding = is_gnmt,
        .has_moe_after = {true},
        .moe = {.n_levels = 1,
                .gate = {{.kind = GATE_NOISY_TOP_K, .n_experts = 5, .top_k = 2, .noise = 1}},
                .expert = {.kind = experts, .hidden = dim + 2, .n_patches = 1}}};
    bench->embedding.scale = 2;
    bench->embedding.table = param_add(
        &fixture->params, (struct param_spec){.rank = 2, .dim = {n_words, dim}}, "embedding");
    output_init(&bench->output, &fixture->params, "softmax", n_words, dim, NULL);
    decoder_init(&bench->decoder, &fixture->params, &config, &bench->embedding, &bench->output);
    fixture_start(fixture, 3 / sqrt((double)dim));
    fixture_set(fixture, &bench->output.bias->weight.value, EOS, eos_bias);
    fixture->pass.is_training = false;
}

static struct beam_config config_of(int64_t beam, int64_t n_best)
{
    return (struct beam_config){.beam = beam,
                                .n_best = n_best,
                                .bos = BOS,
                                .eos = EOS,
                                .forbidden = {PAD, BOS},
                                .n_forbidden = 2,
                                .max_ratio = 1};
}

/* -- batches -- */

/* Sentences of the given lengths: sentence names[b] has the same numbers in every batch, and the
 * padding has others. */
static struct tensor memory_of(struct bench *bench, const int32_t *names, const int32_t *lengths,
                               int64_t count)
{
    int64_t n_source = 0;
    for (int64_t b = 0; b < count; b++)
        n_source = lengths[b] > n_source ? lengths[b] : n_source;
    const int64_t dim = bench->decoder.config.dim;
    const struct tensor memory = fixture_random_3d(&bench->fixture, n_source, count, dim, 3);
    double *values = fixture_values(&bench->fixture, &memory);
    for (int64_t b = 0; b < count; b++)
        for (int32_t s = 0; s < lengths[b]; s++)
            for (int64_t d = 0; d < dim; d++) {
                const struct random_key key = {.seed = 7, .stream = (uint32_t)names[b]};
                const uint32_t word = random_philox(key, (uint32_t)s, (uint32_t)d).word[0];
                values[(s * count + b) * dim + d] = 2 * random_unit(word) - 1;
            }
    fixture_write(&bench->fixture, &memory, values);
    return memory;
}

static struct nbest *search(struct bench *bench, const struct beam_config *config,
                            const int32_t *names, const int32_t *lengths, int64_t count)
{
    struct arena *arena = &bench->fixture.host;
    const struct tensor memory = memory_of(bench, names, lengths, count);
    struct nbest *results = arena_take(arena, (size_t)count * sizeof *results);
    if (beam_search(&bench->decoder, &bench->fixture.pass, &memory, lengths, config, arena,
                    results) < 0)
        fail_msg("%s", status_message());
    return results;
}

/* -- the slow way -- */

struct found {
    int32_t tokens[MAX_TOKENS];
    int64_t count;
    double log_prob, score;
    bool reached_limit;
};

struct slow {
    struct bench *bench;
    const struct beam_config *config;
    struct tensor memory; /* [S, 1, D] */
    int32_t n_source;
    int64_t limit;
    struct found *found; /* [MAX_FOUND] */
    int64_t n_found;
};

static struct slow open_slow(struct bench *bench, const struct beam_config *config, int32_t name,
                             int32_t n_source)
{
    struct found *found = malloc(MAX_FOUND * sizeof *found);
    assert_non_null(found);
    return (struct slow){.bench = bench,
                         .config = config,
                         .memory = memory_of(bench, &name, &n_source, 1),
                         .n_source = n_source,
                         .limit = (int64_t)ceil(config->max_ratio * n_source) + config->max_extra,
                         .found = found};
}

/* log P of every word after a prefix, and what all its steps paid to each source token. */
static void force(const struct slow *slow, const int32_t *tokens, int64_t count, double *log_probs,
                  double *coverage)
{
    struct fixture *fixture = &slow->bench->fixture;
    const struct pass_mark mark = pass_mark(&fixture->pass);
    const int64_t n_t = count + 1, n_words = slow->bench->n_words;
    int32_t ids[MAX_TOKENS + 1] = {BOS};
    for (int64_t t = 0; t < count; t++)
        ids[t + 1] = tokens[t];
    const struct tensor flat = fixture_ints(fixture, ids, n_t);
    const struct sequence target = {.ids = tensor_as_2d(&flat, n_t, 1)};
    const struct tensor lengths = fixture_ints(fixture, &slow->n_source, 1);
    struct decoder_record record;
    const struct tensor readout = decoder_forward(&slow->bench->decoder, &fixture->pass, &record,
                                                  &target, &slow->memory, &lengths, 0);
    const struct tensor logits = pass_2d(&fixture->pass, n_t, n_words);
    output_logits(&slow->bench->output, &fixture->pass, &logits, &readout);
    const double *row = fixture_values(fixture, &logits) + count * n_words;
    const double *weights = fixture_values(fixture, &record.attention.weights);
    double sum = 0;
    for (int64_t v = 0; v < n_words; v++)
        sum += exp(row[v]);
    for (int64_t v = 0; v < n_words; v++)
        log_probs[v] = row[v] - log(sum);
    for (int32_t s = 0; s < slow->n_source; s++) {
        coverage[s] = 0;
        for (int64_t t = 0; t < n_t; t++)
            coverage[s] += weights[t * slow->n_source + s];
    }
    pass_release(&fixture->pass, mark);
}

static bool is_allowed(const struct beam_config *config, int32_t token)
{
    for (int64_t i = 0; i < config->n_forbidden; i++)
        if (config->forbidden[i] == token)
            return false;
    return true;
}

static void add_found(struct slow *slow, const int32_t *tokens, int64_t count, double log_prob,
                      const double *coverage, bool reached_limit)
{
    assert_true(slow->n_found < MAX_FOUND);
    struct found *found = &slow->found[slow->n_found++];
    *found = (struct found){.count = count, .log_prob = log_prob, .reached_limit = reached_limit};
    memcpy(found->tokens, tokens, (size_t)count * sizeof *tokens);
    const double length = (double)(reached_limit ? count : count + 1);
    found->score = log_prob / pow((5 + length) / 6, slow->config->alpha);
    for (int32_t s = 0; s < slow->n_source; s++)
        found->score += slow->config->beta * log(coverage[s] < 1 ? coverage[s] : 1);
}

static int compare_found(const void *left, const void *right)
{
    const struct found *a = left, *b = right;
    if (a->reached_limit != b->reached_limit)
        return a->reached_limit ? 1 : -1;
    return (a->score < b->score) - (a->score > b->score);
}

/* Every hypothesis that begins with this prefix. */
static void enumerate(struct slow *slow, int32_t *tokens, int64_t count, double log_prob)
{
    double log_probs[MAX_WORDS], coverage[MAX_TOKENS];
    force(slow, tokens, count, log_probs, coverage);
    add_found(slow, tokens, count, log_prob + log_probs[EOS], coverage, false);
    for (int32_t v = 0; v < slow->bench->n_words; v++) {
        if (v == EOS || !is_allowed(slow->config, v))
            continue;
        tokens[count] = v;
        if (count + 1 == slow->limit)
            add_found(slow, tokens, count + 1, log_prob + log_probs[v], coverage, true);
        else
            enumerate(slow, tokens, count + 1, log_prob + log_probs[v]);
    }
}

struct candidate {
    double log_prob;
    int64_t parent;
    int32_t token;
};

static int compare_candidates(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    if (a->log_prob != b->log_prob)
        return a->log_prob < b->log_prob ? 1 : -1;
    if (a->parent != b->parent)
        return a->parent < b->parent ? -1 : 1;
    return (a->token > b->token) - (a->token < b->token);
}

/* Whether patience has run out and n_best ended hypotheses are as good as the best live one is
 * now. */
static bool is_settled(const struct slow *slow, double log_prob, int64_t length)
{
    const struct beam_config *config = slow->config;
    const double live = log_prob / pow((5 + (double)length) / 6, config->alpha);
    int64_t n_ended = 0, n_better = 0;
    for (int64_t i = 0; i < slow->n_found; i++) {
        n_ended += !slow->found[i].reached_limit;
        n_better += !slow->found[i].reached_limit && slow->found[i].score >= live;
    }
    return config->patience > 0 && n_ended >= config->n_best && n_better >= config->n_best &&
           (double)n_ended >= config->patience * (double)config->beam;
}

/* Beam search with nothing clever in it. */
static void search_slowly(struct slow *slow)
{
    enum { MAX_BEAM = 16 };
    const struct beam_config *config = slow->config;
    struct found live[MAX_BEAM] = {0}, next[MAX_BEAM];
    static double coverage[MAX_BEAM][MAX_TOKENS];
    static struct candidate candidates[MAX_BEAM * MAX_WORDS];
    int64_t n_live = 1;
    for (int64_t t = 0; t < slow->limit && n_live > 0; t++) {
        int64_t n_candidates = 0, n_next = 0;
        for (int64_t w = 0; w < n_live; w++) {
            double log_probs[MAX_WORDS];
            force(slow, live[w].tokens, t, log_probs, coverage[w]);
            for (int32_t v = 0; v < slow->bench->n_words; v++)
                if (is_allowed(config, v))
                    candidates[n_candidates++] =
                        (struct candidate){live[w].log_prob + log_probs[v], w, v};
        }
        qsort(candidates, (size_t)n_candidates, sizeof *candidates, compare_candidates);
        for (int64_t i = 0; i < n_candidates && n_next < config->beam; i++) {
            const struct candidate *from = &candidates[i];
            if (from->token == EOS && i < config->beam)
                add_found(slow, live[from->parent].tokens, t, from->log_prob,
                          coverage[from->parent], false);
            if (from->token == EOS)
                continue;
            next[n_next] = live[from->parent];
            next[n_next].tokens[t] = from->token;
            next[n_next].log_prob = from->log_prob;
            if (t + 1 == slow->limit)
                add_found(slow, next[n_next].tokens, t + 1, from->log_prob, coverage[from->parent],
                          true);
            n_next++;
        }
        memcpy(live, next, sizeof live);
        n_live = n_next;
        if (n_live > 0 && is_settled(slow, live[0].log_prob, t + 1))
            n_live = 0;
    }
}

/* The search's result is the head of what the slow way found, in order. */
static void expect_same(struct slow *slow, const struct nbest *result, double tolerance)
{
    qsort(slow->found, (size_t)slow->n_found, sizeof *slow->found, compare_found);
    const int64_t n_best = slow->config->n_best;
    assert_int_equal(result->count, slow->n_found < n_best ? slow->n_found : n_best);
    for (int64_t i = 0; i < result->count; i++) {
        const struct hypothesis *got = &result->items[i];
        const struct found *want = &slow->found[i];
        if (got->count != want->count || got->reached_limit != want->reached_limit ||
            memcmp(got->tokens, want->tokens, (size_t)got->count * sizeof *got->tokens) != 0)
            fail_msg("hypothesis %d of %d differs: score %.12g, wanted %.12g", (int)i,
                     (int)result->count, got->score, want->score);
        if (!(fabs(got->score - want->score) <= tolerance * (1 + fabs(want->score))) ||
            !(fabs(got->log_prob - want->log_prob) <= tolerance * (1 + fabs(want->log_prob))))
            fail_msg("hypothesis %d: score %.12g, wanted %.12g; log P %.12g, wanted %.12g", (int)i,
                     got->score, want->score, got->log_prob, want->log_prob);
    }
    free(slow->found);
}

/* -- tests -- */

static const int32_t NAMES[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};

/* A beam as wide as the space: V = 5 with 3 tokens to choose from, and up to 5 tokens. Of the 31
 * hypotheses that end and the 32 that reach the limit all are compared. */
static void test_exhaustive(void **state)
{
    (void)state;
    const double settings[][2] = {{0, 0}, {1, 0}, {0.6, 0.2}, {0.2, 1.5}};
    struct bench bench;
    open_bench(&bench, "ref64", 12, 5, 0.2);
    for (int i = 0; i < 4; i++) {
        const int32_t lengths[] = {4, 5, 3};
        struct beam_config config = config_of(63, 63);
        config.alpha = settings[i][0];
        config.beta = settings[i][1];
        const struct nbest *results = search(&bench, &config, NAMES, lengths, 3);
        for (int b = 0; b < 3; b++) {
            struct slow slow = open_slow(&bench, &config, NAMES[b], lengths[b]);
            int32_t tokens[MAX_TOKENS];
            enumerate(&slow, tokens, 0, 0);
            assert_int_equal(slow.n_found, (2 << lengths[b]) - 1);
            expect_same(&slow, &results[b], 1e-9);
        }
    }
    fixture_close(&bench.fixture);
}

/* The same with few wanted: stopping by the bound must not cost one of them. Nothing is forbidden
 * but one word, so that there are 121 + 243 hypotheses. */
static void test_exhaustive_few_wanted(void **state)
{
    (void)state;
    for (int n_best = 1; n_best <= 3; n_best++) {
        struct bench bench;
        open_bench(&bench, "ref64", 12, 5, n_best - 1);
        struct beam_config config = config_of(364, n_best);
        config.alpha = 0.8;
        config.beta = 0.1;
        config.n_forbidden = 1;
        const int32_t lengths[] = {5};
        for (int name = 0; name < 3; name++) {
            const struct nbest *results = search(&bench, &config, NAMES + name, lengths, 1);
            struct slow slow = open_slow(&bench, &config, name, 5);
            int32_t tokens[MAX_TOKENS];
            enumerate(&slow, tokens, 0, 0);
            assert_int_equal(slow.n_found, 121 + 243);
            expect_same(&slow, results, 1e-9);
        }
        fixture_close(&bench.fixture);
    }
}

/* Narrow beams over a batch that ends raggedly, with the forbidden words the most probable. */
static void test_narrow(void **state)
{
    (void)state;
    enum { COUNT = 8 };
    const int32_t lengths[COUNT] = {3, 12, 1, 7, 5, 9, 2, 4};
    const int64_t beams[] = {1, 2, 5};
    struct bench bench;
    open_bench(&bench, "ref64", 12, 40, 4);
    fixture_set(&bench.fixture, &bench.output.bias->weight.value, PAD, 30);
    fixture_set(&bench.fixture, &bench.output.bias->weight.value, BOS, 31);
    for (int i = 0; i < 12; i++) {
        struct beam_config config = config_of(beams[i % 3], beams[i % 3] > 1 ? 2 : 1);
        config.patience = i / 3 % 2;
        config.alpha = i < 6 ? 0 : 1;
        config.beta = i < 6 ? 0 : 0.2;
        config.max_extra = 2;
        const struct nbest *results = search(&bench, &config, NAMES, lengths, COUNT);
        for (int b = 0; b < COUNT; b++) {
            struct slow slow = open_slow(&bench, &config, NAMES[b], lengths[b]);
            search_slowly(&slow);
            expect_same(&slow, &results[b], 1e-9);
        }
    }
    fixture_close(&bench.fixture);
}

/* W = 1: the most probable allowed token every time, until it is the end symbol. */
static void test_greedy(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench, "ref64", 12, 30, 7);
    struct beam_config config = config_of(1, 1);
    config.patience = 1;
    config.alpha = 1;
    config.max_ratio = 1.5;
    const int32_t lengths[] = {6, 2, 11, 4, 7};
    const struct nbest *results = search(&bench, &config, NAMES, lengths, 5);
    int64_t n_ended = 0;
    for (int b = 0; b < 5; b++) {
        struct slow slow = open_slow(&bench, &config, NAMES[b], lengths[b]);
        int32_t tokens[MAX_TOKENS];
        int64_t count = 0;
        for (int32_t best = BOS; count < slow.limit; tokens[count++] = best) {
            double log_probs[MAX_WORDS], coverage[MAX_TOKENS];
            force(&slow, tokens, count, log_probs, coverage);
            best = EOS;
            for (int32_t v = 0; v < bench.n_words; v++)
                if (is_allowed(&config, v) && log_probs[v] > log_probs[best])
                    best = v;
            if (best == EOS)
                break;
        }
        const struct hypothesis *got = &results[b].items[0];
        assert_int_equal(results[b].count, 1);
        assert_int_equal(got->count, count);
        assert_memory_equal(got->tokens, tokens, (size_t)count * sizeof *tokens);
        assert_int_equal(got->reached_limit, count == slow.limit);
        n_ended += !got->reached_limit;
        free(slow.found);
    }
    assert_true(n_ended > 0);
    fixture_close(&bench.fixture);
}

static void expect_identical(const struct nbest *got, const struct nbest *want)
{
    assert_int_equal(got->count, want->count);
    for (int64_t i = 0; i < want->count; i++) {
        const struct hypothesis *a = &got->items[i], *b = &want->items[i];
        assert_int_equal(a->count, b->count);
        assert_memory_equal(a->tokens, b->tokens, (size_t)a->count * sizeof *a->tokens);
        assert_memory_equal(&a->score, &b->score, sizeof a->score);
        assert_memory_equal(&a->log_prob, &b->log_prob, sizeof a->log_prob);
        assert_int_equal(a->reached_limit, b->reached_limit);
    }
}

/* To the bit: a sentence alone, among all others, in reversed order, and in a part of them. */
static void check_neighbours(const char *backend, int64_t dim, double eos_bias, double beta,
                             double patience)
{
    enum { COUNT = 12 };
    const int32_t lengths[COUNT] = {3, 17, 1, 7, 33, 9, 2, 4, 20, 5, 6, 11};
    int32_t reversed[COUNT], reversed_lengths[COUNT];
    for (int b = 0; b < COUNT; b++) {
        reversed[b] = NAMES[COUNT - 1 - b];
        reversed_lengths[b] = lengths[COUNT - 1 - b];
    }
    struct bench bench;
    open_bench(&bench, backend, dim, 120, eos_bias);
    struct beam_config config = config_of(5, 3);
    config.alpha = 0.7;
    config.beta = beta;
    config.patience = patience;
    config.max_extra = 3;
    const struct nbest *all = search(&bench, &config, NAMES, lengths, COUNT);
    const struct nbest *backward = search(&bench, &config, reversed, reversed_lengths, COUNT);
    const struct nbest *some = search(&bench, &config, NAMES + 5, lengths + 5, 4);
    for (int b = 0; b < COUNT; b++) {
        const struct nbest *alone = search(&bench, &config, NAMES + b, lengths + b, 1);
        expect_identical(&all[b], alone);
        expect_identical(&backward[COUNT - 1 - b], alone);
        if (b >= 5 && b < 9)
            expect_identical(&some[b - 5], alone);
    }
    fixture_close(&bench.fixture);
}

static void test_neighbours(void **state)
{
    (void)state;
    check_neighbours("ref", 12, 6, 0, 1);
    check_neighbours("ref", 12, 8, 0.2, 0);
    check_neighbours("cpu", 12, 8, 0, 0);
    check_neighbours("cpu", 70, 6, 0.2, 1);
}

/* Sentences that never end are cut where the configuration says, and say so. */
static void test_limit(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench, "ref", 12, 20, -40);
    struct beam_config config = config_of(3, 2);
    config.max_ratio = 1.5;
    config.max_extra = 1;
    const int32_t lengths[] = {1, 2, 5}, limits[] = {3, 4, 9};
    const struct nbest *results = search(&bench, &config, NAMES, lengths, 3);
    for (int b = 0; b < 3; b++) {
        assert_int_equal(results[b].count, 2);
        for (int i = 0; i < 2; i++) {
            assert_true(results[b].items[i].reached_limit);
            assert_int_equal(results[b].items[i].count, limits[b]);
        }
    }
    fixture_close(&bench.fixture);
}

/* Memory: nothing stays but the results, and longer translations take no more while searching. */
static void test_memory(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench, "cpu", 12, 20, -40);
    struct arena results_arena, *arena = &bench.fixture.arena;
    if (arena_init(&results_arena, 1 << 24) < 0)
        fail_msg("%s", status_message());
    const int32_t lengths[] = {6, 9};
    const struct tensor memory = memory_of(&bench, NAMES, lengths, 2);
    const size_t before = arena_mark(arena);
    size_t high_mark = 0;
    for (int i = 0; i < 2; i++) {
        struct beam_config config = config_of(4, 1);
        config.max_extra = 50 * i;
        struct nbest results[2];
        arena->high_mark = before;
        arena_release(&results_arena, 0);
        assert_int_equal(beam_search(&bench.decoder, &bench.fixture.pass, &memory, lengths, &config,
                                     &results_arena, results),
                         STATUS_OK);
        assert_int_equal(results[1].items[0].count, 9 + 50 * i);
        assert_int_equal(arena_mark(arena), before);
        assert_true(i == 0 || arena->high_mark == high_mark);
        high_mark = arena->high_mark;
        assert_true(arena_mark(&results_arena) < 4096);
    }
    arena_free(&results_arena);
    fixture_close(&bench.fixture);
}

static void test_empty_batch(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench, "cpu", 12, 10, 0);
    const struct beam_config config = config_of(2, 1);
    (void)search(&bench, &config, NAMES, NULL, 0);
    fixture_close(&bench.fixture);
}

/* A model that is not finite gives an error, never a translation. */
static void test_not_finite(void **state)
{
    (void)state;
    const char *const backends[] = {"ref", "cpu"};
    for (int i = 0; i < 2; i++) {
        struct bench bench;
        open_bench(&bench, backends[i], 12, 10, 0);
        fixture_set(&bench.fixture, &bench.output.bias->weight.value, 7, (double)NAN);
        const struct beam_config config = config_of(2, 1);
        const struct tensor memory = memory_of(&bench, NAMES, (const int32_t[]){3}, 1);
        struct arena *arena = &bench.fixture.host;
        const size_t before = arena_mark(arena);
        struct nbest result;
        assert_int_equal(beam_search(&bench.decoder, &bench.fixture.pass, &memory,
                                     (const int32_t[]){3}, &config, arena, &result),
                         STATUS_DIVERGED);
        assert_int_equal(arena_mark(arena), before);
        fixture_close(&bench.fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exhaustive), cmocka_unit_test(test_exhaustive_few_wanted),
        cmocka_unit_test(test_narrow),     cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_neighbours), cmocka_unit_test(test_limit),
        cmocka_unit_test(test_memory),     cmocka_unit_test(test_empty_batch),
        cmocka_unit_test(test_not_finite),
    };
    experts = EXPERT_RELU;
    int n_failed = cmocka_run_group_tests_name("ReLU experts", tests, NULL, NULL);
    experts = EXPERT_LSTM;
    n_failed += cmocka_run_group_tests_name("LSTM experts", tests, NULL, NULL);
    is_gnmt = true;
    n_failed += cmocka_run_group_tests_name("LSTM experts, as in GNMT", tests, NULL, NULL);
    return n_failed;
}
