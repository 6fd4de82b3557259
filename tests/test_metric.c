/* chrF, the three arithmetics, printing and multi-bleu: values by hand, counts by brute force. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "text/metric/metric.h"
#include "text/metric/multi_bleu.h"
#include "text/subword/sentencepiece_train.h"

static struct bleu_text text_of(const char *string)
{
    return (struct bleu_text){string, strlen(string)};
}

static void assert_near(double value, double expected)
{
    if (!(fabs(value - expected) <= 1e-12 * fabs(expected)))
        fail_msg("%.17g instead of %.17g", value, expected);
}

static struct metric bleu_metric(void)
{
    return (struct metric){.kind = METRIC_BLEU, .bleu = bleu_config_default()};
}

static struct metric chrf_metric(int64_t char_order, int64_t word_order)
{
    struct metric metric = {.kind = METRIC_CHRF, .chrf = chrf_config_default()};
    metric.chrf.char_order = char_order;
    metric.chrf.word_order = word_order;
    return metric;
}

static void count(const struct metric *metric, const char *hypothesis,
                  const char *const *references, size_t n_references,
                  int64_t sums[METRIC_MAX_COUNTS])
{
    struct metric_counter *counter = NULL;
    struct bleu_text texts[4];
    int32_t counts[METRIC_MAX_COUNTS];
    for (size_t i = 0; i < n_references; i++)
        texts[i] = text_of(references[i]);
    assert_int_equal(metric_counter_open(&counter, metric), STATUS_OK);
    assert_int_equal(metric_count(counter, text_of(hypothesis), texts, n_references, counts),
                     STATUS_OK);
    for (size_t i = 0; i < metric_width(metric); i++)
        sums[i] = counts[i];
    /* other hypotheses of the same segment, among them one that moves the counter's memory */
    char longer[4096];
    for (size_t i = 0; i < sizeof longer; i++)
        longer[i] = " ab c"[i % 5];
    const struct bleu_text others[] = {
        {longer, sizeof longer}, text_of(hypothesis), texts[0], text_of(hypothesis)};
    for (size_t k = 0; k < sizeof others / sizeof others[0]; k++)
        assert_int_equal(metric_count_again(counter, others[k], counts), STATUS_OK);
    for (size_t i = 0; i < metric_width(metric); i++)
        assert_int_equal(counts[i], sums[i]);
    metric_counter_close(counter);
}

static void assert_counts(const struct metric *metric, const char *hypothesis,
                          const char *const *references, size_t n_references,
                          const int64_t *expected)
{
    int64_t sums[METRIC_MAX_COUNTS];
    count(metric, hypothesis, references, n_references, sums);
    for (size_t i = 0; i < metric_width(metric); i++) {
        if (sums[i] != expected[i])
            fail_msg("'%s': count %zu is %lld instead of %lld", hypothesis, i, (long long)sums[i],
                     (long long)expected[i]);
    }
}

static void bleu_counts_are_those_worked_by_hand(void **state)
{
    (void)state;
    struct metric metric = bleu_metric();
    const char *const reference[] = {"a b d e"};
    assert_counts(&metric, "a b c", reference, 1, (int64_t[]){3, 4, 2, 1, 0, 0, 3, 2, 1, 0});
    /* white space at the end is gone before the tokenizer sees the end */
    metric.bleu.tokenizer = BLEU_TOKENIZER_INTL;
    const char *const year[] = {"2015.\t"};
    assert_counts(&metric, "2015. ", year, 1, (int64_t[]){1, 1, 1, 0, 0, 0, 1, 0, 0, 0});
}

static void chrf_counts_are_those_worked_by_hand(void **state)
{
    (void)state;
    struct metric metric = chrf_metric(3, 0);
    const char *const reference[] = {"a b\xC3\xA9\xE3\x80\x80"
                                     "b"};
    /* without white space "abb" and "ab\xC3\xA9b"; "ab" is common */
    assert_counts(&metric, "ab b", reference, 1, (int64_t[]){3, 4, 3, 2, 3, 1, 1, 2, 0});
    metric.chrf.is_whitespace = true;
    assert_counts(&metric, "ab b", reference, 1, (int64_t[]){4, 6, 4, 3, 5, 1, 2, 4, 0});
    /* orders that the reference has none of do not count */
    const char *const shorter[] = {"aB"};
    metric.chrf.is_whitespace = false;
    assert_counts(&metric, "abab", shorter, 1, (int64_t[]){4, 2, 1, 3, 1, 0, 0, 0, 0});
    metric.chrf.is_lowercase = true;
    assert_counts(&metric, "abab", shorter, 1, (int64_t[]){4, 2, 2, 3, 1, 1, 0, 0, 0});
}

/* Characters come first; they do not matter here. */
static void assert_word_counts(const char *hypothesis, const char *reference,
                               const int64_t expected[6])
{
    const struct metric metric = chrf_metric(1, 2);
    int64_t sums[METRIC_MAX_COUNTS];
    count(&metric, hypothesis, &reference, 1, sums);
    assert_memory_equal(sums + 3, expected, 6 * sizeof *expected);
}

static void chrf_words_lose_one_mark(void **state)
{
    (void)state;
    assert_word_counts("-x ab. \xC3\xA9 5\xE2\x80\xA6", "- x ab . \xC3\xA9 5\xE2\x80\xA6",
                       (int64_t[]){6, 6, 6, 5, 5, 5});
    assert_word_counts("(hi)", "hi) (", (int64_t[]){2, 3, 1, 1, 2, 0}); /* the mark behind it */
    assert_word_counts("...", ".", (int64_t[]){2, 1, 1, 0, 0, 0});
    assert_word_counts("'a' 'a'", "'a'", (int64_t[]){4, 2, 2, 3, 1, 1});
}

static void chrf_takes_the_best_reference(void **state)
{
    (void)state;
    const struct metric metric = chrf_metric(1, 0);
    const char *const references[] = {"xyz", "abx", "aby", "c"};
    assert_counts(&metric, "abc", references, 3, (int64_t[]){3, 3, 2});
    assert_counts(&metric, "abc", references, 4, (int64_t[]){3, 1, 1}); /* recall counts more */
    const char *const equal[] = {"xyz", "wv"};
    assert_counts(&metric, "abc", equal, 2, (int64_t[]){3, 3, 0});
    const char *const empty[] = {"", "x"};
    assert_counts(&metric, "abc", empty, 2, (int64_t[]){0, 0, 0});
}

static void chrf_scores_are_those_worked_by_hand(void **state)
{
    (void)state;
    struct metric metric = chrf_metric(3, 0);
    /* precisions 1/2, 0; recalls 1/4, 0; order 3 does not exist */
    const int64_t sums[] = {2, 4, 1, 1, 3, 0, 0, 0, 0};
    assert_near(metric_score(&metric, sums), 100 * 5 * 0.25 * 0.125 / (4 * 0.25 + 0.125));
    metric.chrf.beta = 3;
    assert_near(metric_score(&metric, sums), 100 * 10 * 0.25 * 0.125 / (9 * 0.25 + 0.125));
    metric.chrf.beta = 2;
    metric.chrf.is_epsilon_smoothing = true;
    assert_near(metric_score(&metric, sums), 100 * (5 * 0.5 * 0.25 / (4 * 0.5 + 0.25)) / 3);
    const int64_t none[] = {0, 0, 0, 0, 0, 0, 0, 0, 0};
    assert_near(metric_score(&metric, none), 1e-14);
    metric.chrf.is_epsilon_smoothing = false;
    assert_true(metric_score(&metric, none) <= 0.0);
}

enum { MOST_LETTERS = 14, N_LETTERS = 3, ORDER = 4 };

static size_t occurrences(const char *text, size_t size, const char *ngram, size_t n)
{
    size_t found = 0;
    for (size_t i = 0; i + n <= size; i++)
        found += memcmp(text + i, ngram, n) == 0 ? 1 : 0;
    return found;
}

/* Matches of n letters, counting each distinct n-gram at its first place. */
static int64_t clipped_matches(const char *hypothesis, const char *reference, size_t n)
{
    size_t matches = 0;
    for (size_t i = 0; i + n <= strlen(hypothesis); i++) {
        if (occurrences(hypothesis, i + n - 1, hypothesis + i, n) > 0)
            continue;
        const size_t mine = occurrences(hypothesis, strlen(hypothesis), hypothesis + i, n);
        const size_t theirs = occurrences(reference, strlen(reference), hypothesis + i, n);
        matches += mine < theirs ? mine : theirs;
    }
    return (int64_t)matches;
}

static void random_letters(uint32_t row, char text[MOST_LETTERS + 1])
{
    const struct random_key key = {.seed = 5};
    const size_t size = random_philox(key, row, 0).word[0] % (MOST_LETTERS + 1);
    for (size_t i = 0; i < size; i++)
        text[i] = (char)('a' + random_philox(key, row, (uint32_t)i + 1).word[1] % N_LETTERS);
    text[size] = '\0';
}

static void chrf_counts_equal_brute_force(void **state)
{
    (void)state;
    const struct metric metric = chrf_metric(ORDER, 0);
    struct metric_counter *counter = NULL;
    assert_int_equal(metric_counter_open(&counter, &metric), STATUS_OK);
    for (uint32_t trial = 0; trial < 3000; trial++) {
        char hypothesis[MOST_LETTERS + 1], reference[MOST_LETTERS + 1];
        int32_t counts[METRIC_MAX_COUNTS];
        random_letters(2 * trial, hypothesis);
        random_letters(2 * trial + 1, reference);
        const struct bleu_text texts[] = {text_of(reference)};
        assert_int_equal(metric_count(counter, text_of(hypothesis), texts, 1, counts), STATUS_OK);
        for (size_t n = 1; n <= ORDER; n++)
            assert_int_equal(counts[3 * n - 1], clipped_matches(hypothesis, reference, n));
    }
    metric_counter_close(counter);
}

static void float_sums_give_float_scores(void **state)
{
    (void)state;
    struct metric metric = bleu_metric();
    const float sums[] = {3, 3, 1, 1, 1, 1, 3, 3, 3, 3};
    const double precision = (double)(100.0F / 3.0F);
    assert_near(metric_score_float(&metric, sums), exp(log(precision)));
    assert_true(fabs(metric_score_float(&metric, sums) - 100.0 / 3.0) > 1e-7);
    assert_false(metric_is_float(&metric, sums));
    metric.bleu.smoothing = BLEU_SMOOTHING_ADD_K;
    metric.bleu.smoothing_value = 0.1;
    const double added = (double)(100.0F * (1.0F + 0.1F) / (3.0F + 0.1F));
    assert_near(metric_score_float(&metric, sums),
                exp((log(precision) + log(added) + log(added) + log(added)) / 4));
    metric = chrf_metric(1, 0);
    const float third[] = {3, 7, 1};
    const float p = 1.0F / 3.0F, r = 1.0F / 7.0F;
    const float product = 5.0F * p * r, sum = 4.0F * p + r;
    const float score = 100.0F * (product / sum);
    assert_near(metric_score_float(&metric, third), (double)score);
    assert_true(metric_is_float(&metric, third));
    const float nothing[] = {3, 7, 0};
    assert_true(metric_score_float(&metric, nothing) <= 0.0);
    assert_false(metric_is_float(&metric, nothing));
}

static void trials_truncate_what_is_added(void **state)
{
    (void)state;
    struct metric metric = bleu_metric();
    metric.bleu.smoothing = BLEU_SMOOTHING_ADD_K;
    metric.bleu.smoothing_value = 0.5;
    const int64_t sums[] = {8, 8, 4, 2, 1, 0, 8, 7, 6, 5};
    assert_near(metric_score(&metric, sums),
                100 * pow(0.5 * (2.5 / 7.5) * (1.5 / 6.5) * (0.5 / 5.5), 0.25));
    assert_true(metric_score_trial(&metric, sums) <= 0.0);
    metric.bleu.smoothing_value = 1.5; /* as 1 */
    assert_near(metric_score_trial(&metric, sums),
                100 * pow(0.5 * (3.0 / 8.0) * (2.0 / 7.0) * (1.0 / 6.0), 0.25));
}

static void subword_tokens_are_pieces(void **state)
{
    (void)state;
    const struct subword_text lines[] = {{"the cat sat on the mat", 22}, {"a hat for the cat", 17}};
    struct subword_train_options options = subword_train_defaults();
    options.texts = lines;
    options.n_texts = 2;
    options.size = 24;
    options.coverage = 1.0;
    struct buffer model = {0};
    struct subword *subword = NULL;
    struct ids ids = {0};
    assert_int_equal(subword_train(&options, &model, NULL), STATUS_OK);
    assert_int_equal(subword_open_bytes(&subword, model.data, model.size, "test"), STATUS_OK);
    struct metric metric = bleu_metric();
    assert_true(bleu_tokenizer_find("spm", &metric.bleu.tokenizer));
    metric.bleu.subword = subword;
    const char *const references[] = {"the hat"};
    int64_t sums[METRIC_MAX_COUNTS];
    count(&metric, "that cat", references, 1, sums);
    assert_int_equal(subword_encode(subword, "that cat", 8, &ids), STATUS_OK);
    assert_int_equal(sums[0], ids.size);
    assert_true(sums[0] > 2 && sums[2] > 0);
    ids_free(&ids);
    subword_free(subword);
    buffer_free(&model);
}

static void numbers_are_printed_shortest(void **state)
{
    (void)state;
    static const struct {
        double number;
        const char *text;
    } cases[] = {{0.0, "0.0"},       {100.0, "100.0"},
                 {31.4, "31.4"},     {0.1, "0.1"},
                 {1e-5, "1e-05"},    {1.5e-5, "1.5e-05"},
                 {0.0001, "0.0001"}, {2.0 / 3.0, "0.6666666666666666"},
                 {1e16, "1e+16"},    {123456789.25, "123456789.25"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buffer text = {0};
        assert_int_equal(metric_append_number(&text, cases[i].number), STATUS_OK);
        assert_string_equal(text.data, cases[i].text);
        buffer_free(&text);
    }
}

static void assert_signature(const struct metric *metric, const struct metric_signature *parts,
                             const char *expected)
{
    struct buffer text = {0};
    assert_int_equal(metric_append_signature(&text, metric, parts), STATUS_OK);
    assert_string_equal(text.data, expected);
    buffer_free(&text);
}

static void signatures_have_sacrebleu_s_form(void **state)
{
    (void)state;
    struct metric metric = bleu_metric();
    struct metric_signature parts = {.n_references = 1};
    assert_signature(&metric, &parts, "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0");
    parts = (struct metric_signature){2, "ar", 10000, "none", true};
    metric.bleu.tokenizer = BLEU_TOKENIZER_SPBLEU_1K;
    metric.bleu.smoothing = BLEU_SMOOTHING_FLOOR;
    metric.bleu.smoothing_value = 0.1;
    metric.bleu.is_lowercase = metric.bleu.is_effective_order = true;
    assert_signature(&metric, &parts,
                     "#:2|ar:10000|rs:none|c:lc|e:yes|tok:spBLEU-1K|s:floor[0.10]|v:2.6.0");
    metric = chrf_metric(6, 2);
    parts = (struct metric_signature){1, "bs", 1000, "12345", false};
    assert_signature(&metric, &parts,
                     "nrefs:1|bs:1000|seed:12345|case:mixed|eff:yes|nc:6|nw:2|space:no|"
                     "version:2.6.0");
    metric.chrf.is_epsilon_smoothing = metric.chrf.is_whitespace = true;
    parts = (struct metric_signature){.n_references = 1, .is_short = true};
    assert_signature(&metric, &parts, "#:1|c:mixed|e:no|nc:6|nw:2|s:yes|v:2.6.0");
}

static void assert_result(const struct metric *metric, const int64_t *sums,
                          const struct metric_interval *interval, const struct metric_style *style,
                          const char *expected)
{
    struct buffer text = {0};
    assert_int_equal(metric_append_result(&text, metric, sums, interval, style), STATUS_OK);
    assert_string_equal(text.data, expected);
    buffer_free(&text);
}

/* 10 words of 16, half of each order found: 50 * exp(1 - 16/10). */
static void results_have_sacrebleu_s_form(void **state)
{
    (void)state;
    const struct metric metric = bleu_metric();
    const int64_t sums[] = {10, 16, 5, 4, 4, 3, 10, 8, 8, 6};
    const struct metric_interval interval = {true, 1000, "12345", 27.125, 1.5};
    const struct metric_interval zero = {.is_given = true};
    struct metric_style style = {.decimals = 2, .signature = "nrefs:1|tok:x"};
#define DETAILS "50.0/50.0/50.0/50.0 (BP = 0.549 ratio = 0.625 hyp_len = 10 ref_len = 16)"
    assert_result(&metric, sums, NULL, &style, "BLEU|nrefs:1|tok:x = 27.44 " DETAILS);
    assert_result(&metric, sums, &zero, &style, "BLEU|nrefs:1|tok:x = 27.44 " DETAILS);
    assert_result(&metric, sums, &interval, &style,
                  "BLEU|nrefs:1|tok:x = 27.44 (\xCE\xBC = 27.12 \xC2\xB1 1.50) " DETAILS);
    style.is_json = true;
    assert_result(&metric, sums, &interval, &style,
                  "{\n \"name\": \"BLEU\",\n \"score\": 27.44,\n \"signature\": \"nrefs:1|tok:x\","
                  "\n \"confidence_mean\": 27.12,\n \"confidence_var\": 1.5,\n \"confidence\": "
                  "\"\xCE\xBC = 27.12 \xC2\xB1 1.50\",\n \"verbose_score\": \"" DETAILS
                  "\",\n \"nrefs\": \"1\",\n \"tok\": \"x\"\n}");
#undef DETAILS
    style.is_score_only = true;
    assert_result(&metric, sums, &interval, &style, "27.44 (\xCE\xBC = 27.12 \xC2\xB1 1.50)");
    style = (struct metric_style){.decimals = 0, .signature = ""};
    const struct metric chrf = chrf_metric(1, 2);
    const int64_t all[] = {4, 4, 4, 2, 2, 2, 1, 1, 1};
    assert_result(&chrf, all, NULL, &style, "chrF2++ = 100");
    style.is_json = true;
    style.signature = "nrefs:1";
    assert_result(&chrf, all, NULL, &style,
                  "{\n \"name\": \"chrF2++\",\n \"score\": 100.0,\n \"signature\": \"nrefs:1\",\n"
                  " \"nrefs\": \"1\"\n}");
}

static void assert_multi_bleu(bool is_lowercase, const char *hypothesis,
                              const char *const *references, size_t n_references,
                              const char *expected)
{
    struct multi_bleu *multi_bleu = NULL;
    struct bleu_text texts[2];
    struct buffer text = {0};
    for (size_t i = 0; i < n_references; i++)
        texts[i] = text_of(references[i]);
    assert_int_equal(multi_bleu_open(&multi_bleu, is_lowercase), STATUS_OK);
    assert_int_equal(multi_bleu_add(multi_bleu, text_of(hypothesis), texts, n_references),
                     STATUS_OK);
    if (expected == NULL) {
        assert_int_equal(multi_bleu_append(multi_bleu, &text), STATUS_DATA);
    } else {
        assert_int_equal(multi_bleu_append(multi_bleu, &text), STATUS_OK);
        assert_string_equal(text.data, expected);
    }
    multi_bleu_close(multi_bleu);
    buffer_free(&text);
}

static void multi_bleu_prints_what_the_script_prints(void **state)
{
    (void)state;
    const char *const one[] = {"a b c d f"};
    assert_multi_bleu(false, " a\r b\tc  d e\r", one, 1, /* the fourth root of 4/5 3/4 2/3 1/2 */
                      "BLEU = 66.87, 80.0/75.0/66.7/50.0 (BP=1.000, ratio=1.000, hyp_len=5, "
                      "ref_len=5)");
    const char *const longer[] = {"A b c d f g", "A b c \xC3\xA4\xC2\xA0z"};
    assert_multi_bleu(false, "a b c d", longer, 1, /* exp(1 - 6/4), 3/4 2/3 1/2 0 */
                      "BLEU = 0.00, 75.0/66.7/50.0/0.0 (BP=0.607, ratio=0.667, hyp_len=4, "
                      "ref_len=6)");
    assert_multi_bleu(true, "a B C d", longer, 2,
                      "BLEU = 100.00, 100.0/100.0/100.0/100.0 (BP=1.000, ratio=1.000, hyp_len=4, "
                      "ref_len=4)");
    assert_multi_bleu(true, "b c \xC3\x84\xC2\xA0z", longer + 1, 1,
                      "BLEU = 0.00, 66.7/50.0/0.0/0.0 (BP=0.717, ratio=0.750, hyp_len=3, "
                      "ref_len=4)");
    assert_multi_bleu(false, "a b", NULL, 0,
                      "BLEU = 0.00, 0.0/0.0/0.0/0.0 (BP=0.000, ratio=0.000, hyp_len=2, "
                      "ref_len=9999)");
    char far[20001];
    for (size_t i = 0; i < 20000; i++)
        far[i] = i % 2 == 0 ? 'c' : ' ';
    far[20000] = '\0';
    const char *const far_texts[] = {far};
    assert_multi_bleu(false, "a", far_texts, 1,
                      "BLEU = 0.00, 0.0/0.0/0.0/0.0 (BP=0.000, ratio=0.000, hyp_len=1, "
                      "ref_len=9999)");
    assert_multi_bleu(false, "a b", far_texts, 1,
                      "BLEU = 0.00, 0.0/0.0/0.0/0.0 (BP=0.000, ratio=0.000, hyp_len=2, "
                      "ref_len=10000)");
    const char *const empty[] = {" \t"};
    assert_multi_bleu(false, "a b", empty, 1,
                      "BLEU = 0, 0/0/0/0 (BP=0, ratio=0, hyp_len=0, ref_len=0)");
    assert_multi_bleu(false, "", one, 1, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bleu_counts_are_those_worked_by_hand),
        cmocka_unit_test(chrf_counts_are_those_worked_by_hand),
        cmocka_unit_test(chrf_words_lose_one_mark),
        cmocka_unit_test(chrf_takes_the_best_reference),
        cmocka_unit_test(chrf_scores_are_those_worked_by_hand),
        cmocka_unit_test(chrf_counts_equal_brute_force),
        cmocka_unit_test(float_sums_give_float_scores),
        cmocka_unit_test(trials_truncate_what_is_added),
        cmocka_unit_test(subword_tokens_are_pieces),
        cmocka_unit_test(numbers_are_printed_shortest),
        cmocka_unit_test(signatures_have_sacrebleu_s_form),
        cmocka_unit_test(results_have_sacrebleu_s_form),
        cmocka_unit_test(multi_bleu_prints_what_the_script_prints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
