/* Learning by hand, words and their counts, and what is white space. tests/cli/test_subword_nmt.py
 * compares with subword-nmt itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/scratch.h"
#include "text/subword/bpe.h"
#include "text/subword/bpe_counts.h"
#include "text/subword/bpe_learn.h"
#include "text/subword/bpe_text.h"
#include "text/utf8.h"

static struct scratch scratch;

static struct lines *open_text(const char *text)
{
    struct lines *lines = NULL;
    const char *path = scratch_write(&scratch, "text", text, strlen(text));
    assert_int_equal(lines_open(&lines, path), STATUS_OK);
    return lines;
}

static struct buffer learn_text(const char *text, enum bpe_input input, int64_t n_merges,
                                int64_t min_frequency)
{
    struct bpe_counts counts = {0};
    struct bpe_codes codes = {0};
    const struct bpe_learn_options options = {.n_merges = n_merges, .min_frequency = min_frequency};
    struct lines *lines = open_text(text);
    assert_int_equal(bpe_counts_read(&counts, lines, input, false), STATUS_OK);
    lines_close(lines);
    assert_int_equal(bpe_learn(&counts, &options, &codes), STATUS_OK);
    struct buffer written = {0};
    char *bytes = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&bytes, &size);
    bpe_codes_write(&codes, stream);
    fclose(stream);
    assert_int_equal(buffer_append(&written, bytes, size), STATUS_OK);
    free(bytes);
    bpe_counts_free(&counts);
    bpe_codes_free(&codes);
    return written;
}

/* Counts by hand: (s,t</w>) and (e,s) have 9, the larger pair goes first; then (e,st</w>) 9,
 * (l,o) 7; 6 for (n,e), (e,w) and (w,est</w>); 5 for (lo,w</w>); 3 for (w,i), (i,d), (d,est</w>);
 * 2 for (lo,w), (w,e), (e,r</w>). */
static void learning_merges_by_frequency_then_largest(void **state)
{
    (void)state;
    static const char expected[] = "#version: 0.2\ns t</w>\ne st</w>\nl o\nw est</w>\nn e\n"
                                   "ne west</w>\nlo w</w>\nw i\nwi d\nwid est</w>\nw e\nwe r</w>\n"
                                   "lo wer</w>\n";
    struct buffer codes =
        learn_text("low 5\nlower 2\nnewest 6\nwidest 3\n", BPE_INPUT_DICTIONARY, 100, 2);
    assert_string_equal(codes.data, expected);
    buffer_free(&codes);
    codes = learn_text("low low low low low lower widest newest newest  newest\n lower newest "
                       "newest newest\rwidest widest\n",
                       BPE_INPUT_TEXT, 3, 2);
    assert_string_equal(codes.data, "#version: 0.2\ns t</w>\ne st</w>\nl o\n");
    buffer_free(&codes);
    codes = learn_text("low 5\nlower 2\nnewest 6\nwidest 3\n", BPE_INPUT_DICTIONARY, 100, 7);
    assert_string_equal(codes.data, "#version: 0.2\ns t</w>\ne st</w>\nl o\n");
    buffer_free(&codes);
}

/* "aaaaa" is a a a a a</w>: (a,a) counts 3, then aa aa a</w> from the left. */
static void learning_counts_runs(void **state)
{
    (void)state;
    struct buffer codes = learn_text("aaaaa 1\n", BPE_INPUT_DICTIONARY, 100, 1);
    assert_string_equal(codes.data, "#version: 0.2\na a\naa aa\naaaa a</w>\n");
    buffer_free(&codes);
    codes = learn_text("\xC3\xA9\xE6\x97\xA5\xF0\x9F\x98\x80 2\n", BPE_INPUT_DICTIONARY, 1, 1);
    assert_string_equal(codes.data, "#version: 0.2\n\xE6\x97\xA5 \xF0\x9F\x98\x80</w>\n");
    buffer_free(&codes);
}

static void learning_wants_a_pair(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "a b \xC3\xA9\n", " \r\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct bpe_counts counts = {0};
        struct bpe_codes codes = {0};
        const struct bpe_learn_options options = {.n_merges = 3};
        struct lines *lines = open_text(texts[i]);
        assert_int_equal(bpe_counts_read(&counts, lines, BPE_INPUT_TEXT, false), STATUS_OK);
        assert_int_equal(bpe_learn(&counts, &options, &codes), STATUS_DATA);
        lines_close(lines);
        bpe_counts_free(&counts);
        bpe_codes_free(&codes);
    }
}

static void counts_keep_first_order(void **state)
{
    (void)state;
    struct bpe_counts counts = {0};
    struct lines *lines = open_text("b a  c\r\na \x0B"
                                    "d\xE2\x80\xA8"
                                    "b c d\xE2\x80\xA8\n\n e\xFF");
    char *bytes = NULL;
    size_t size = 0;
    assert_int_equal(bpe_counts_read(&counts, lines, BPE_INPUT_TEXT, false), STATUS_OK);
    assert_int_equal(bpe_counts_cut_lines(&counts), STATUS_OK);
    FILE *stream = open_memstream(&bytes, &size);
    assert_int_equal(bpe_counts_write(&counts, stream), STATUS_OK);
    fclose(stream);
    assert_string_equal(bytes, "b 2\na 2\nc 2\nd\xE2\x80\xA8 2\n\x0B 1\ne\xEF\xBF\xBD 1\n");
    free(bytes);
    bpe_counts_free(&counts);
    lines_close(lines);
}

static void wrong_entries_are_named(void **state)
{
    (void)state;
    static const char *const texts[] = {"a 1\nb\n",
                                        "a 1\nb 1 1\n",
                                        "a 1\nb x\n",
                                        "a 1\n\n",
                                        "a 1\nb -\n",
                                        "a 1\nb 1.5\n",
                                        "a 1\nb 9999999999999999\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct bpe_counts counts = {0};
        struct strings vocabulary = {0};
        struct lines *lines = open_text(texts[i]);
        assert_int_equal(bpe_counts_read(&counts, lines, BPE_INPUT_DICTIONARY, false), STATUS_DATA);
        assert_non_null(strstr(status_message(), ":2: "));
        lines_close(lines);
        lines = open_text(texts[i]);
        assert_int_equal(bpe_read_vocabulary(&vocabulary, lines, 0), STATUS_FORMAT);
        assert_non_null(strstr(status_message(), ":2: "));
        lines_close(lines);
        bpe_counts_free(&counts);
        strings_free(&vocabulary);
    }
}

/* Python's str.isspace() and str.splitlines(), as its documentation lists them. */
static void space_is_what_python_calls_so(void **state)
{
    (void)state;
    static const uint32_t ends[] = {0x0B, 0x0C, 0x0D, 0x1C, 0x1D, 0x1E, 0x85, 0x2028, 0x2029};
    static const uint32_t spaces[] = {
        0x09,   0x0A,   0x0B,   0x0C,   0x0D,   0x1C,   0x1D,   0x1E,   0x1F,   0x20,
        0x85,   0xA0,   0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006,
        0x2007, 0x2008, 0x2009, 0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000};
    for (uint32_t code_point = 0; code_point < 0x110000; code_point++) {
        if (code_point >= 0xD800 && code_point < 0xE000)
            continue;
        char bytes[UTF8_MAX_BYTES];
        const size_t size = utf8_write(bytes, code_point);
        bool is_end = false, is_space = false;
        for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
            is_end = is_end || ends[i] == code_point;
        for (size_t i = 0; i < sizeof spaces / sizeof spaces[0]; i++)
            is_space = is_space || spaces[i] == code_point;
        assert_int_equal(bpe_line_end_bytes(bytes, size), is_end ? size : 0);
        assert_int_equal(bpe_space_bytes(bytes, size, false), is_space ? size : 0);
        assert_int_equal(bpe_ends_with_space(bytes, size, false), is_space);
        assert_int_equal(bpe_has_space(bytes, size, false), is_space);
        assert_int_equal(bpe_character_bytes(bytes, size, false), size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learning_merges_by_frequency_then_largest),
        cmocka_unit_test(learning_counts_runs),
        cmocka_unit_test(learning_wants_a_pair),
        cmocka_unit_test(counts_keep_first_order),
        cmocka_unit_test(wrong_entries_are_named),
        cmocka_unit_test(space_is_what_python_calls_so),
    };
    scratch_open(&scratch);
    const int failures = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_close(&scratch);
    return failures;
}
