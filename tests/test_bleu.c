/* Counts by brute force, scores by hand. tests/cli/test_bleu_sacrebleu.py compares the printed
 * result with sacreBLEU itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "text/metric/bleu.h"

static struct bleu_text text_of(const char *string)
{
    return (struct bleu_text){string, strlen(string)};
}

static struct bleu_stats count(const struct bleu_config *config, const char *hypothesis,
                               const char *const *references, size_t n_references)
{
    struct bleu_text texts[4];
    struct bleu_counter *counter = NULL;
    struct bleu_stats stats = {0};
    for (size_t i = 0; i < n_references; i++)
        texts[i] = text_of(references[i]);
    assert_int_equal(bleu_counter_open(&counter, config), STATUS_OK);
    assert_int_equal(bleu_count(counter, text_of(hypothesis), texts, n_references, &stats),
                     STATUS_OK);
    bleu_counter_close(counter);
    return stats;
}

/* Papineni et al. 2002, example 2: seven times "the" against one reference with two of them. */
static void counts_are_clipped(void **state)
{
    (void)state;
    const struct bleu_config config = bleu_config_default();
    const char *const references[] = {"the cat is on the mat", "there is a cat on the mat"};
    const struct bleu_stats stats = count(&config, "the the the the the the the", references, 2);
    assert_int_equal(stats.hypothesis_length, 7);
    assert_int_equal(stats.reference_length, 7);
    assert_int_equal(stats.correct[0], 2);
    assert_int_equal(stats.total[0], 7);
    assert_int_equal(stats.correct[1], 0);
    assert_int_equal(stats.total[1], 6);
    assert_int_equal(stats.total[3], 4);
}

static void nearest_length_prefers_the_shorter(void **state)
{
    (void)state;
    const struct bleu_config config = bleu_config_default();
    const char *const references[] = {"a b c d e f", "a b"};
    assert_int_equal(count(&config, "a b c d", references, 2).reference_length, 2);
    assert_int_equal(count(&config, "a b c d e", references, 2).reference_length, 6);
    const char *const with_empty[] = {"a b c", ""};
    assert_int_equal(count(&config, "a", with_empty, 2).reference_length, 0);
    assert_int_equal(count(&config, "", with_empty, 1).total[0], 0);
}

static void lower_case_follows_unicode(void **state)
{
    (void)state;
    struct bleu_config config = bleu_config_default();
    const char *const references[] = {"\xCE\xBF\xCE\xB4\xCE\xBF\xCF\x82 "
                                      "i\xCC\x87 stra\xC3\x9F"
                                      "e"};
    const char *hypothesis = "\xCE\x9F\xCE\x94\xCE\x9F\xCE\xA3 \xC4\xB0 STRA\xC3\x9F"
                             "E";
    assert_int_equal(count(&config, hypothesis, references, 1).correct[0], 0);
    config.is_lowercase = true;
    assert_int_equal(count(&config, hypothesis, references, 1).correct[0], 3);
}

enum { MOST_WORDS = 12, N_REFERENCES = 3 };

struct words {
    int n;
    char word[MOST_WORDS]; /* one letter each */
};

static struct words random_words(uint32_t row)
{
    const struct random_key key = {.seed = 7};
    struct words words = {.n = (int)(random_philox(key, row, 0).word[0] % (MOST_WORDS + 1))};
    for (int i = 0; i < words.n; i++)
        words.word[i] = (char)('a' + random_philox(key, row, (uint32_t)i + 1).word[1] % 3);
    return words;
}

static void write_words(const struct words *words, char text[2 * MOST_WORDS + 1])
{
    for (int i = 0; i < words->n; i++) {
        text[2 * i] = words->word[i];
        text[2 * i + 1] = ' ';
    }
    text[2 * words->n] = '\0';
}

static int64_t occurrences(const struct words *words, const char *ngram, int n)
{
    int64_t found = 0;
    for (int i = 0; i + n <= words->n; i++)
        found += memcmp(words->word + i, ngram, (size_t)n) == 0 ? 1 : 0;
    return found;
}

static int64_t most_occurrences(const struct words references[N_REFERENCES], const char *ngram,
                                int n)
{
    int64_t most = 0;
    for (int r = 0; r < N_REFERENCES; r++) {
        const int64_t found = occurrences(&references[r], ngram, n);
        most = found > most ? found : most;
    }
    return most;
}

/* Matches of order n, counting each distinct n-gram at its first place. */
static int64_t clipped_matches(const struct words *hypothesis,
                               const struct words references[N_REFERENCES], int n)
{
    int64_t matches = 0;
    for (int i = 0; i + n <= hypothesis->n; i++) {
        const char *ngram = hypothesis->word + i;
        const struct words before = {.n = i + n - 1};
        struct words head = *hypothesis;
        head.n = before.n;
        if (occurrences(&head, ngram, n) > 0)
            continue;
        const int64_t mine = occurrences(hypothesis, ngram, n);
        const int64_t most = most_occurrences(references, ngram, n);
        matches += mine < most ? mine : most;
    }
    return matches;
}

/* One counter for all, so that segments of different size follow each other in its table. */
static void counts_equal_brute_force(void **state)
{
    (void)state;
    const struct bleu_config config = bleu_config_default();
    struct bleu_counter *counter = NULL;
    assert_int_equal(bleu_counter_open(&counter, &config), STATUS_OK);
    for (uint32_t trial = 0; trial < 3000; trial++) {
        const struct words hypothesis = random_words(4 * trial);
        struct words references[N_REFERENCES];
        struct bleu_text texts[N_REFERENCES];
        char written[N_REFERENCES + 1][2 * MOST_WORDS + 1];
        for (uint32_t r = 0; r < N_REFERENCES; r++) {
            references[r] = random_words(4 * trial + 1 + r);
            write_words(&references[r], written[r]);
            texts[r] = text_of(written[r]);
        }
        write_words(&hypothesis, written[N_REFERENCES]);
        struct bleu_stats stats = {0};
        assert_int_equal(
            bleu_count(counter, text_of(written[N_REFERENCES]), texts, N_REFERENCES, &stats),
            STATUS_OK);
        for (int n = 1; n <= BLEU_ORDER; n++) {
            const int64_t total = hypothesis.n - n + 1;
            assert_int_equal(stats.total[n - 1], total > 0 ? total : 0);
            assert_int_equal(stats.correct[n - 1], clipped_matches(&hypothesis, references, n));
        }
    }
    bleu_counter_close(counter);
}

static struct bleu_score score_of(enum bleu_smoothing smoothing, double value,
                                  const struct bleu_stats *stats)
{
    struct bleu_config config = bleu_config_default();
    config.smoothing = smoothing;
    config.smoothing_value = value;
    return bleu_compute(stats, &config);
}

static void assert_near(double value, double expected)
{
    if (!(fabs(value - expected) <= 1e-12 * fabs(expected)))
        fail_msg("%.17g instead of %.17g", value, expected);
}

/* 6 of 8, 3 of 7, 0 of 6, 0 of 5, reference 10: precisions 3/4, 3/7, and what smoothing makes. */
static void scores_are_those_worked_by_hand(void **state)
{
    (void)state;
    const struct bleu_stats stats = {8, 10, {6, 3, 0, 0}, {8, 7, 6, 5}};
    const double penalty = exp(1.0 - 10.0 / 8.0);
    const double seen = 0.75 * 3.0 / 7.0;
    struct bleu_score score = score_of(BLEU_SMOOTHING_EXP, 0, &stats);
    assert_near(score.brevity_penalty, penalty);
    assert_near(score.ratio, 0.8);
    assert_near(score.precisions[2], 100.0 / 12.0);
    assert_near(score.precisions[3], 100.0 / 20.0);
    assert_near(score.score, 100 * penalty * pow(seen / 12.0 / 20.0, 0.25));
    score = score_of(BLEU_SMOOTHING_FLOOR, 0.1, &stats);
    assert_near(score.score, 100 * penalty * pow(seen * (0.1 / 6) * (0.1 / 5), 0.25));
    score = score_of(BLEU_SMOOTHING_ADD_K, 1, &stats);
    assert_near(score.score,
                100 * penalty * pow(0.75 * (4.0 / 8.0) * (1.0 / 7.0) * (1.0 / 6.0), 0.25));
    assert_true(score_of(BLEU_SMOOTHING_NONE, 0, &stats).score <= 0.0);
}

static void short_segments_need_effective_order(void **state)
{
    (void)state;
    struct bleu_config config = bleu_config_default();
    const struct bleu_stats stats = {3, 3, {3, 2, 1, 0}, {3, 2, 1, 0}};
    assert_true(bleu_compute(&stats, &config).score <= 0.0);
    config.is_effective_order = true;
    assert_near(bleu_compute(&stats, &config).score, 100.0);
    const struct bleu_stats nothing = {3, 3, {0, 0, 0, 0}, {3, 2, 1, 0}};
    assert_true(bleu_compute(&nothing, &config).score <= 0.0);
    const struct bleu_stats empty = {0};
    assert_near(bleu_compute(&empty, &config).brevity_penalty, 1.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_clipped),
        cmocka_unit_test(nearest_length_prefers_the_shorter),
        cmocka_unit_test(lower_case_follows_unicode),
        cmocka_unit_test(counts_equal_brute_force),
        cmocka_unit_test(scores_are_those_worked_by_hand),
        cmocka_unit_test(short_segments_need_effective_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
