/* Tokens by hand, Unicode's classes by ICU, lower case by hand. tests/cli/test_bleu_sacrebleu.py
 * compares with sacreBLEU itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <unicode/uchar.h>

#include "text/metric/lowercase.h"
#include "text/metric/tokenizer.h"
#include "text/metric/unicode_class.h"
#include "text/utf8.h"

typedef enum status tokenizer(struct buffer *buffer, const char *line, size_t size);

/* Behind an earlier text, as a segment's texts are. */
static void check_tokens(tokenizer *tokenize, const char *line, const char *expected)
{
    struct buffer tokens = {0};
    assert_int_equal(buffer_append_string(&tokens, "x"), STATUS_OK);
    assert_int_equal(tokenize(&tokens, line, strlen(line)), STATUS_OK);
    assert_string_equal(tokens.data + 1, expected);
    assert_int_equal(tokens.size, strlen(tokens.data));
    buffer_free(&tokens);
}

static void tokenizer_13a_separates_what_mteval_does(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"  \t ", ""},
        {"Hello, world!", "Hello , world !"},
        {"it's 3.14 or 1,000.", "it's 3.14 or 1,000 ."},
        {"in 1990. Then", "in 1990 . Then"},
        {"no.5 v.5,x 5,x x,5", "no . 5 v . 5 , x 5 , x x , 5"},
        {"3-4 a-b 2-year-old -5", "3 - 4 a-b 2 - year-old -5"},
        {"a..b a..5 .,5", "a . . b a . .5 . ,5"},
        {"wait...", "wait . . ."},
        {"1..2 1.,2", "1 . . 2 1 . , 2"},
        {".5 ,5 5. 5,", ". 5 , 5 5 . 5 ,"},
        {"(a)[b]{c}<d>", "( a ) [ b ] { c } < d >"},
        {"a/b_c\\d|e~f`g^h", "a / b _ c \\ d | e ~ f ` g ^ h"},
        {"\"x\" #1 $5 10% R&D *+=?@;:", "\" x \" # 1 $ 5 10 % R & D * + = ? @ ; :"},
        {"&quot;a&quot; &lt;b&gt; c &amp; d", "\" a \" < b > c & d"},
        {"&amp;lt; &amp;quot;", "< & quot ;"},
        {"a<skipped>b <skip<skipped>ped>", "ab < skipped >"},
        {"Caf\xC3\xA9's\xE2\x80\x94ok.", "Caf\xC3\xA9's\xE2\x80\x94ok ."},
        {"\xC3\xA9.5 \xC2\xA0.5", "\xC3\xA9 . 5 . 5"},
        {"a\xC2\xA0z\xE3\x80\x80y\xE2\x80\xA8x\xC2\x85w\x1Fv", "a z y x w v"},
        {"a\xE2\x80\x8B"
         "b\xEF\xBB\xBF",
         "a\xE2\x80\x8B"
         "b\xEF\xBB\xBF"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_tokens(tokenizer_13a, cases[i][0], cases[i][1]);
}

static void tokenizer_none_splits_at_white_space_only(void **state)
{
    (void)state;
    check_tokens(tokenizer_none, " a,  b.\tc ", "a, b. c");
    check_tokens(tokenizer_none, "&amp; <skipped>", "&amp; <skipped>");
    check_tokens(tokenizer_none, "\xE3\x80\x80", "");
}

static void tokenizer_char_separates_characters(void **state)
{
    (void)state;
    check_tokens(tokenizer_char, "", "");
    check_tokens(tokenizer_char, " ab\t\xC3\xA9\xE3\x80\x80\xF0\x9F\x98\x80 ",
                 "a b \xC3\xA9 \xF0\x9F\x98\x80");
    check_tokens(tokenizer_char, "e\xCC\x81", "e \xCC\x81");
}

static void tokenizer_intl_separates_what_mteval_does(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"Hello, world!", "Hello , world !"},
        {"3.14 1,000 2015.", "3.14 1,000 2015."},
        {"a.5 5.a .5 (5)", "a . 5 5 . a . 5 ( 5)"},
        {".5 a..b a..5 5.$", ".5 a . . b a . .5 5 . $"},
        {"5..a 5..6 5.,6", "5 . . a 5 . . 6 5 . , 6"},
        {"it's 3-4", "it ' s 3-4"},
        {"$5+x=y 1=2", "$ 5 + x = y 1 = 2"},
        {"\xC2\xAB\xC3\x87"
         "a\xC2\xBB \xE2\x80\x94 x\xE2\x80\xA6",
         "\xC2\xAB \xC3\x87"
         "a \xC2\xBB \xE2\x80\x94 x \xE2\x80\xA6"},
        {"\xD9\xA1\xD9\xAB\xD9\xA2", "\xD9\xA1\xD9\xAB\xD9\xA2"}, /* Arabic 1.2 */
        {"x\xC2\xB2,5 \xE2\x85\xAB.", "x\xC2\xB2,5 \xE2\x85\xAB."},
        {"\xE2\x82\xAC"
         "5\xF0\x9F\x98\x80ok",
         "\xE2\x82\xAC 5 \xF0\x9F\x98\x80 ok"},
        {"\xE4\xBD\xA0\xE5\xA5\xBD\xE3\x80\x82\xE5\x86\x8D",
         "\xE4\xBD\xA0\xE5\xA5\xBD \xE3\x80\x82 \xE5\x86\x8D"},
        {"a\xC2\xA0,\xE3\x80\x80"
         "b",
         "a , b"},
        {"&amp; <skipped>", "& amp ; < skipped >"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_tokens(tokenizer_intl, cases[i][0], cases[i][1]);
}

static void tokenizer_zh_separates_characters_and_punctuation(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"\xE4\xBD\xA0\xE5\xA5\xBD ok", "\xE4\xBD\xA0 \xE5\xA5\xBD ok"},
        {"\xE4\xBB\xB7"
         "3.5\xE5\x85\x83,x",
         "\xE4\xBB\xB7 3.5 \xE5\x85\x83 , x"},
        {"Hello, world! 3-4 a-b", "Hello , world ! 3 - 4 a-b"},
        {"  .5 5.  ", ".5 5."}, /* nothing is in front of the first and behind the last */
        {"a. .5 5. b", "a . . 5 5 . b"},
        {"&amp;", "& amp ;"},
        {"a\xE2\x80\x94"
         "b p\xE2\x80\xA6q \xE2\x82\xAC"
         "5",
         "a \xE2\x80\x94 b p \xE2\x80\xA6 q \xE2\x82\xAC 5"},
        {"x\xF0\xA0\x80\x80y", "x\xF0\xA0\x80\x80y"},                     /* U+20000 */
        {"x\xE2\xA9\xADy\xE2\xA9\xAEz", "x \xE2\xA9\xAD y\xE2\xA9\xAEz"}, /* U+2A6D, 2A6E */
        {"5.\xEF\xBC\x8E"
         "5.",
         "5 . \xEF\xBC\x8E 5."},
        {"\xE3\x80\x80\xE3\x80\x81\xE3\x80\x80.5", "\xE3\x80\x81 . 5"},
        {"\xE3\x81\x82\xE9\xBE\xBCz", "\xE3\x81\x82\xE9\xBE\xBCz"}, /* kana, U+9FBC */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_tokens(tokenizer_zh, cases[i][0], cases[i][1]);
}

/* The list of the header. */
static bool is_white_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

static void white_space_is_what_the_header_lists(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char bytes[UTF8_MAX_BYTES];
        const size_t size = utf8_write(bytes, c);
        const size_t expected = is_white_space(c) ? size : 0;
        if (tokenizer_space_length(bytes, size) != expected)
            fail_msg("U+%04X", (unsigned)c);
    }
    assert_int_equal(tokenizer_space_length("\xE2\x80\x83", 2), 0);
    assert_int_equal(tokenizer_space_length("", 0), 0);
}

static void strip_end_takes_unicode_white_space(void **state)
{
    (void)state;
    assert_int_equal(tokenizer_strip_end("a \t\r", 4), 1);
    assert_int_equal(tokenizer_strip_end("a\xC2\xA0\xE2\x80\xAF", 6), 1);
    assert_int_equal(tokenizer_strip_end("\xC2\xA0", 2), 0);
    assert_int_equal(tokenizer_strip_end(" \xC3\xA0", 3), 3);
    assert_int_equal(tokenizer_strip_end("\xE2\x80\x8B", 3), 3);
    assert_int_equal(tokenizer_strip_end("", 0), 0);
}

/* Newer characters than ICU knows are left to the command line test. */
static void classes_are_those_of_icu(void **state)
{
    (void)state;
    int64_t compared = 0;
    struct unicode_span span = unicode_span_of(0);
    for (UChar32 c = 0; c <= 0x10FFFF; c++) {
        UVersionInfo age;
        u_charAge(c, age);
        if ((uint32_t)c > span.last) {
            span = unicode_span_of((uint32_t)c);
            assert_int_equal(span.first, c);
        }
        if (age[0] == 0 || age[0] > 15)
            continue;
        const uint32_t mask = U_GET_GC_MASK(c);
        const enum unicode_class expected = mask & U_GC_N_MASK   ? UNICODE_NUMBER
                                            : mask & U_GC_P_MASK ? UNICODE_PUNCTUATION
                                            : mask & U_GC_S_MASK ? UNICODE_SYMBOL
                                                                 : UNICODE_OTHER;
        if (span.class != expected || unicode_span_of((uint32_t)c).class != expected)
            fail_msg("U+%04X: class %d instead of %d", (unsigned)c, (int)span.class, (int)expected);
        compared++;
    }
    assert_true(compared > 140000);
    assert_int_equal(unicode_span_of(UINT32_MAX).class, UNICODE_OTHER);
}

static void check_lower(const char *text, const char *expected)
{
    struct lowercase *lowercase = NULL;
    struct buffer lower = {0};
    assert_int_equal(lowercase_open(&lowercase), STATUS_OK);
    assert_int_equal(lowercase_append(lowercase, &lower, text, strlen(text)), STATUS_OK);
    assert_string_equal(lower.data, expected);
    assert_int_equal(lower.size, strlen(expected));
    lowercase_close(lowercase);
    buffer_free(&lower);
}

static void lower_case_is_python_s(void **state)
{
    (void)state;
    check_lower("", "");
    check_lower("Az [@Z`{", "az [@z`{");
    check_lower("\xC3\x84\xE1\xBA\x9E", "\xC3\xA4\xC3\x9F");
    check_lower("ABC\xC4\xB0 \xC4\xB0\xC4\xB0\xC4\xB0\xC4\xB0\xC4\xB0\xC4\xB0\xC4\xB0\xC4\xB0",
                "abci\xCC\x87 i\xCC\x87i\xCC\x87i\xCC\x87i\xCC\x87i\xCC\x87i\xCC\x87i\xCC\x87i"
                "\xCC\x87");
    /* a final sigma; the sigma of a word alone is none */
    check_lower("A\xCE\xA3 A\xCE\xA3"
                "B \xCE\xA3 A.\xCE\xA3.",
                "a\xCF\x82 a\xCF\x83"
                "b \xCF\x83 a.\xCF\x82.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokenizer_13a_separates_what_mteval_does),
        cmocka_unit_test(tokenizer_none_splits_at_white_space_only),
        cmocka_unit_test(tokenizer_char_separates_characters),
        cmocka_unit_test(tokenizer_intl_separates_what_mteval_does),
        cmocka_unit_test(tokenizer_zh_separates_characters_and_punctuation),
        cmocka_unit_test(white_space_is_what_the_header_lists),
        cmocka_unit_test(strip_end_takes_unicode_white_space),
        cmocka_unit_test(classes_are_those_of_icu),
        cmocka_unit_test(lower_case_is_python_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
