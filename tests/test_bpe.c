/* Codes applied by hand and against a plain search on random codes; files of codes that are wrong.
 * tests/cli/test_subword_nmt.py compares with subword-nmt itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/random.h"
#include "tests/scratch.h"
#include "text/subword/bpe.h"

static struct scratch scratch;

static struct lines *open_text(const char *text)
{
    struct lines *lines = NULL;
    const char *path = scratch_write(&scratch, "text", text, strlen(text));
    assert_int_equal(lines_open(&lines, path), STATUS_OK);
    return lines;
}

static enum status try_codes(struct bpe_codes *codes, const char *text, int64_t limit)
{
    struct lines *lines = open_text(text);
    *codes = (struct bpe_codes){0};
    const enum status status = bpe_codes_read(codes, lines, limit);
    lines_close(lines);
    return status;
}

/* Codes ready for use. */
struct applied {
    struct bpe_codes codes;
    struct bpe *bpe;
    struct bpe_encoder *encoder;
};

static void open_applied(struct applied *applied, const char *codes, struct bpe_options options)
{
    options.separator = options.separator != NULL ? options.separator : "@@";
    assert_int_equal(try_codes(&applied->codes, codes, -1), STATUS_OK);
    assert_int_equal(bpe_open(&applied->bpe, &applied->codes, &options), STATUS_OK);
    assert_int_equal(bpe_encoder_open(&applied->encoder, applied->bpe), STATUS_OK);
}

static void close_applied(struct applied *applied)
{
    bpe_encoder_close(applied->encoder);
    bpe_close(applied->bpe);
    bpe_codes_free(&applied->codes);
}

static void check_line(const struct applied *applied, const char *text, const char *expected)
{
    struct buffer output = {0};
    const struct line line = {.bytes = text, .size = strlen(text), .number = 1};
    for (int i = 0; i < 2; i++) { /* the second time from the cache */
        buffer_clear(&output);
        assert_int_equal(bpe_encode_line(applied->encoder, &line, &output), STATUS_OK);
        assert_int_equal(buffer_append(&output, "", 0), STATUS_OK);
        assert_string_equal(output.data, expected);
    }
    buffer_free(&output);
}

static const char small_codes[] = "#version: 0.2\ns t</w>\ne st</w>\nl o\nw est</w>\no w\n";

static void applying_merges_in_order_of_the_codes(void **state)
{
    (void)state;
    struct applied applied;
    open_applied(&applied, small_codes, (struct bpe_options){0});
    check_line(&applied, "lowest", "lo@@ west");
    check_line(&applied, "low ow st west w", "lo@@ w o@@ w st west w");
    check_line(&applied, "owl lolo", "ow@@ l lo@@ l@@ o");
    check_line(&applied, "", "");
    check_line(&applied, "  \r", "  \r");
    check_line(&applied, " low  x \r", " lo@@ w x \r");
    check_line(&applied, "\xC3\xA9l\xC3\xA9 \xFFlo",
               "\xC3\xA9@@ l@@ \xC3\xA9 \xEF\xBF\xBD@@ l@@ o");
    check_line(&applied, "\tlo\r\xE2\x80\xA8lo", "\t@@ l@@ o\r\xE2\x80\xA8l@@ o");
    check_line(&applied, "lo\xE2\x80\xA8 lo\x0Blo", "lo@@ \xE2\x80\xA8 lo@@ \x0Bl@@ o");
    close_applied(&applied);
}

static void applying_knows_versions_and_separators(void **state)
{
    (void)state;
    struct applied applied;
    open_applied(&applied, "l o\nlo </w>\ne r\n", (struct bpe_options){.separator = "+"});
    check_line(&applied, "lo loer ero", "lo lo+ er er+ o");
    close_applied(&applied);
    open_applied(&applied, "#version: 0.2 byte\n\xC3 \xA9</w>\n\xA9 \xC3\n",
                 (struct bpe_options){0});
    check_line(&applied, "\xC3\xA9 \xC3\xA9\xC3\xA9", "\xC3\xA9 \xC3@@ \xA9@@ \xC3\xA9");
    check_line(&applied,
               "\xC3\xA9\xC3\xA9"
               "a",
               "\xC3@@ \xA9\xC3@@ \xA9@@ a");
    close_applied(&applied);
}

static void a_vocabulary_undoes_merges(void **state)
{
    (void)state;
    struct strings vocabulary = {0};
    struct lines *lines = open_text("lo@@ 3\nw@@ 5\nest 2\nwest 1\n");
    assert_int_equal(bpe_read_vocabulary(&vocabulary, lines, 2), STATUS_OK);
    lines_close(lines);
    struct applied applied;
    open_applied(&applied, small_codes, (struct bpe_options){.vocabulary = &vocabulary});
    /* west has 1: w@@ est; ow@@ is not there: o@@ w@@, and neither is o@@ */
    check_line(&applied, "lowest owst", "lo@@ w@@ est o@@ w@@ s@@ t");
    close_applied(&applied);
    strings_free(&vocabulary);
    /* an empty vocabulary is none */
    open_applied(&applied, small_codes, (struct bpe_options){.vocabulary = &vocabulary});
    check_line(&applied, "lowest", "lo@@ west");
    close_applied(&applied);
}

static void glossaries_stay_whole(void **state)
{
    (void)state;
    static const char *const patterns[] = {"USA", "<\\w*>", "[0-9]+"};
    struct bpe_glossaries *glossaries = NULL;
    assert_int_equal(bpe_glossaries_open(&glossaries, patterns, 3, false), STATUS_OK);
    struct applied applied;
    open_applied(&applied, "#version: 0.2\nU S\n", (struct bpe_options){.glossaries = glossaries});
    check_line(&applied, "1934USABUSA", "1934@@ USA@@ B@@ USA");
    check_line(&applied, "<tag_\xC3\xA9>US <a <>", "<tag_\xC3\xA9>@@ U@@ S <@@ a <>");
    close_applied(&applied);
    bpe_glossaries_close(glossaries);
    static const char *const refused[] = {"(",     "a{,2}",   "[[:alpha:]]", "\\h",
                                          "(?i)a", "(*FAIL)", "\\Qa\\E",     "(?R)",
                                          "a\\",   "(?",      "[a",          "\\v"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        assert_int_equal(bpe_glossaries_open(&glossaries, &refused[i], 1, false), STATUS_USAGE);
}

/* What the merger has to find, by looking at all pairs again and again. */
static void merge_plainly(const struct bpe_codes *codes, char pieces[][16], int *n)
{
    for (;;) {
        size_t best = codes->n_merges;
        const char *left = NULL, *right = NULL;
        for (int i = 0; i + 1 < *n; i++) {
            for (size_t rank = 0; rank < best; rank++) {
                size_t left_size = 0, right_size = 0;
                left = strings_get(&codes->symbols, codes->merges[rank].left, &left_size);
                right = strings_get(&codes->symbols, codes->merges[rank].right, &right_size);
                if (strlen(pieces[i]) == left_size && strlen(pieces[i + 1]) == right_size &&
                    memcmp(pieces[i], left, left_size) == 0 &&
                    memcmp(pieces[i + 1], right, right_size) == 0)
                    best = rank;
            }
        }
        if (best == codes->n_merges)
            return;
        char wanted[2][16] = {"", ""};
        size_t size = 0;
        left = strings_get(&codes->symbols, codes->merges[best].left, &size);
        memcpy(wanted[0], left, size);
        right = strings_get(&codes->symbols, codes->merges[best].right, &size);
        memcpy(wanted[1], right, size);
        int n_kept = 0;
        for (int i = 0; i < *n; i++) {
            const bool is_pair = i + 1 < *n && strcmp(pieces[i], wanted[0]) == 0 &&
                                 strcmp(pieces[i + 1], wanted[1]) == 0;
            char merged[32];
            snprintf(merged, sizeof merged, "%s%s", pieces[i], is_pair ? wanted[1] : "");
            memcpy(pieces[n_kept++], merged, 16);
            i += is_pair ? 1 : 0;
        }
        *n = n_kept;
    }
}

static uint32_t draw(uint32_t *counter, uint32_t bound)
{
    const struct random_words words = random_philox((struct random_key){.seed = 5}, 0, ++*counter);
    return words.word[0] % bound;
}

/* Codes in any order, not only as they are learned: a merge may make an earlier one possible. */
static void merging_equals_a_plain_search(void **state)
{
    (void)state;
    uint32_t counter = 0;
    for (int round = 0; round < 300; round++) {
        struct buffer text = {0};
        assert_int_equal(buffer_append_string(&text, "#version: 0.2\n"), STATUS_OK);
        const uint32_t n_codes = 1 + draw(&counter, 25);
        for (uint32_t i = 0; i < n_codes; i++) {
            char line[32] = "";
            size_t size = 0;
            for (int side = 0; side < 2; side++) {
                const uint32_t length = 1 + draw(&counter, 3);
                for (uint32_t j = 0; j < length; j++)
                    line[size++] = (char)('a' + draw(&counter, 2));
                line[size++] = side == 0 ? ' ' : '\0';
            }
            assert_int_equal(
                buffer_printf(&text, "%s%s\n", line, draw(&counter, 4) == 0 ? "</w>" : ""),
                STATUS_OK);
        }
        struct applied applied;
        open_applied(&applied, text.data, (struct bpe_options){0});
        for (int i = 0; i < 20; i++) {
            char word[11] = "", pieces[11][16], expected[64] = "";
            int n = (int)(2 + draw(&counter, 9));
            for (int j = 0; j < n; j++) {
                word[j] = (char)('a' + draw(&counter, 2));
                snprintf(pieces[j], sizeof pieces[j], "%c%s", word[j], j == n - 1 ? "</w>" : "");
            }
            merge_plainly(&applied.codes, pieces, &n);
            pieces[n - 1][strlen(pieces[n - 1]) - 4] = '\0';
            for (int j = 0; j < n; j++) {
                strcat(expected, pieces[j]);
                strcat(expected, j == n - 1 ? "" : "@@ ");
            }
            check_line(&applied, word, expected);
        }
        close_applied(&applied);
        buffer_free(&text);
    }
}

/* Encodes a word many times and compares how often each output comes with its probability. */
static void check_distribution(const char *codes, double dropout, const char *word,
                               const char *const outputs[4], const double expected[4])
{
    enum { N = 40000 };
    int counts[4] = {0}, n = 0;
    struct applied applied;
    struct buffer output = {0};
    open_applied(&applied, codes, (struct bpe_options){.dropout = dropout, .seed = 3});
    for (int64_t number = 1; number <= N; number++) {
        const struct line line = {.bytes = word, .size = strlen(word), .number = number};
        buffer_clear(&output);
        assert_int_equal(bpe_encode_line(applied.encoder, &line, &output), STATUS_OK);
        for (int j = 0; j < 4; j++)
            counts[j] += strcmp(output.data, outputs[j]) == 0;
    }
    for (int j = 0; j < 4; j++) {
        n += counts[j];
        const double deviation = 5 * sqrt(N * expected[j] * (1 - expected[j])) + 1e-6;
        assert_true(fabs(counts[j] - N * expected[j]) <= deviation);
    }
    assert_int_equal(n, N);
    buffer_free(&output);
    close_applied(&applied);
}

/* p is the dropout and q = 1 - p. In abc the first merge decides whether there is a second. In abcd
 * one that was left out may come back after the other: both come with q*q + p*q*q. */
static void dropout_has_its_distribution(void **state)
{
    (void)state;
    static const double dropouts[] = {0.1, 0.5, 0.9, 1};
    static const char *const three[] = {"abc", "ab@@ c", "a@@ bc", "a@@ b@@ c"};
    static const char *const four[] = {"ab@@ cd", "ab@@ c@@ d", "a@@ b@@ cd", "a@@ b@@ c@@ d"};
    for (size_t i = 0; i < sizeof dropouts / sizeof dropouts[0]; i++) {
        const double p = dropouts[i], q = 1 - p;
        const double of_three[] = {q * q, q * p, p * q, p * p};
        const double of_four[] = {q * q + p * q * q, q * p, p * q * p, p * p};
        check_distribution("#version: 0.2\na b\nb c</w>\nab c</w>\n", p, "abc", three, of_three);
        check_distribution("#version: 0.2\na b\nc d</w>\n", p, "abcd", four, of_four);
    }
}

/* Quadratic work would take minutes. */
static void long_words_take_no_time(void **state)
{
    (void)state;
    enum { N = 300000 };
    char *word = malloc(N + 1);
    assert_non_null(word);
    for (int i = 0; i < N; i++)
        word[i] = "abaab"[i % 5];
    word[N] = '\0';
    for (int has_dropout = 0; has_dropout < 2; has_dropout++) {
        struct applied applied;
        struct buffer output = {0};
        open_applied(&applied, "#version: 0.2\na b\nab a\naba ab\nabaab abaab\n",
                     (struct bpe_options){.dropout = has_dropout * 0.3});
        const double start_s = clock_cpu_seconds();
        assert_int_equal(bpe_encode_word(applied.encoder, word, N, &output), STATUS_OK);
        assert_true(clock_cpu_seconds() - start_s < 10);
        assert_true(output.size > N);
        buffer_free(&output);
        close_applied(&applied);
    }
    free(word);
}

static void decoding_equals_sed(void **state)
{
    (void)state;
    /* what sed -r 's/(@@ )|(@@ ?$)//g' prints */
    static const char *const cases[][2] = {
        {"", ""},
        {"lo@@ west", "lowest"},
        {"a@@ b@@ c d@@", "abc d"},
        {"a@@ ", "a"},
        {"@@@ a", "@a"},
        {"a@@@@ b a@@@@", "a@@b a@@"},
        {"a@@b @@ c", "a@@b c"},
        {"a@@\r", "a@@\r"},
        {"@@ @@ @@", ""},
        {"a@@  b", "a b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buffer output = {0};
        assert_int_equal(bpe_decode_line("@@", cases[i][0], strlen(cases[i][0]), &output),
                         STATUS_OK);
        assert_int_equal(buffer_append(&output, "", 0), STATUS_OK);
        assert_string_equal(output.data, cases[i][1]);
        buffer_free(&output);
    }
}

static void wrong_codes_are_named(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", "empty"},
        {"#version: 0.3\na b\n", ":1: "},
        {"#version: 0.2\na b\nab\n", ":3: "},
        {"#version: 0.2\na b\na b c\n", ":3: "},
        {"#version: 0.2\na b\n\nc d\n", ":3: "},
        {"a  b\n", ":1: "},
        {"#version: 0.2\na \xFF\n", ":2: "},
    };
    struct bpe_codes codes;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(try_codes(&codes, cases[i][0], -1), STATUS_FORMAT);
        assert_non_null(strstr(status_message(), cases[i][1]));
        bpe_codes_free(&codes);
    }
    static const struct {
        const char *text;
        int64_t limit;
        enum bpe_version version;
        size_t n_merges;
    } right[] = {
        {"#version: 0.2\n", -1, BPE_VERSION_0_2, 0},
        {"#version: 0.2.0\r\na b\r\n", -1, BPE_VERSION_0_2, 1},
        {"\xEF\xBB\xBF#version: 0.2\n a b \nb a\n\n\n", -1, BPE_VERSION_0_2, 2},
        {"#version: 0.1\na b", -1, BPE_VERSION_0_1, 1},
        {"a b\nc d\nnonsense\n", 2, BPE_VERSION_0_1, 2},
        {"#version: 0.2 byte\n\xFF \xFE\n", -1, BPE_VERSION_BYTE, 1},
    };
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
        assert_int_equal(try_codes(&codes, right[i].text, right[i].limit), STATUS_OK);
        assert_int_equal(codes.version, right[i].version);
        assert_int_equal(codes.n_merges, right[i].n_merges);
        bpe_codes_free(&codes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(applying_merges_in_order_of_the_codes),
        cmocka_unit_test(applying_knows_versions_and_separators),
        cmocka_unit_test(a_vocabulary_undoes_merges),
        cmocka_unit_test(glossaries_stay_whole),
        cmocka_unit_test(merging_equals_a_plain_search),
        cmocka_unit_test(dropout_has_its_distribution),
        cmocka_unit_test(long_words_take_no_time),
        cmocka_unit_test(decoding_equals_sed),
        cmocka_unit_test(wrong_codes_are_named),
    };
    scratch_open(&scratch);
    const int failures = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_close(&scratch);
    return failures;
}
