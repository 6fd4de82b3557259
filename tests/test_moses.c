/* The Moses steps on made-up lines, each with what the script of the same step makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "text/moses/character.h"
#include "text/moses/moses.h"
#include "text/utf8.h"

struct example {
    enum moses_language language;
    const char *line;
    const char *wanted;
};

static const struct example tokenized[] = {
    {MOSES_ENGLISH, "Don't they say so? It's the dogs' bowl, isn't it.",
     "Don &apos;t they say so ? It &apos;s the dogs &apos; bowl , isn &apos;t it ."},
    {MOSES_ENGLISH, "Back in the 1990's, rock 'n' roll cost 5,000 pounds, not 5, 6 or a,b.",
     "Back in the 1990 &apos;s , rock &apos; n &apos; roll cost 5,000 pounds , not 5 , 6 or a , b "
     "."},
    {MOSES_ENGLISH, "Mr. Smith met Dr. Jones in Jan. 1999 at No. 7, not at No. seven.",
     "Mr. Smith met Dr. Jones in Jan. 1999 at No. 7 , not at No. seven ."},
    {MOSES_ENGLISH, "So said I.", "So said I ."},
    {MOSES_ENGLISH, "See pp. 5 and pp. x, e.g. there. etc. and so on. And etc. Here",
     "See pp. 5 and pp. x , e.g. there. etc. and so on . And etc . Here"},
    {MOSES_ENGLISH, "Wait... what.. no . . . yes....", "Wait ... what .. no . . . yes ...."},
    {MOSES_ENGLISH, "A well-known e-mail: me@host.example/x?y=1&z=2",
     "A well-known e-mail : me @ host.example / x ? y = 1 &amp; z = 2"},
    {MOSES_ENGLISH, "He said \"stop.\" [1] <b>|</b>",
     "He said &quot; stop . &quot; &#91; 1 &#93; &lt; b &gt; &#124; &lt; / b &gt;"},
    {MOSES_ENGLISH, "The end of it.'", "The end of it . &apos; "},
    {MOSES_ENGLISH, ".'", " . &apos; "},
    {MOSES_ENGLISH, "x,,y,,,z,5,6,,7,", "x , , y , , , z , 5,6 , , 7 ,"},
    {MOSES_ENGLISH, "'quoted' words' and ''two''",
     "&apos;quoted &apos; words &apos; and &apos; &apos; two &apos; &apos;"},
    {MOSES_ENGLISH, "tab\x09here\x01\x02 and\x7Fthere\xC2\xA0now", "tab here and \x7F there now"},
    {MOSES_ENGLISH, "Größe Ⅷ,3 x²,5 ١,٢ ①,1", "Größe Ⅷ,3 x ² , 5 ١,٢ ① , 1"},
    {MOSES_ENGLISH, "café\xCC\x81 ก\xE0\xB8\xB4 中文 😀!", "café \xCC\x81 ก\xE0\xB8\xB4 中文 😀 !"},
    {MOSES_ENGLISH, "He owns U.S. stock. The U.S. Stock. v. 5",
     "He owns U.S. stock . The U.S. Stock. v. 5"},
    {MOSES_ENGLISH, "word.lower Word.Upper end.of", "word.lower Word.Upper end.of"},
    {MOSES_ENGLISH, "a. b. c", "a. b. c"},
    {MOSES_ENGLISH, "Rs. 500 paid", "Rs. 500 paid"},
    {MOSES_GERMAN, "Geht's dir gut? Hans' Haus, z.B. das am 3. Mai.",
     "Geht &apos; s dir gut ? Hans &apos; Haus , z.B. das am 3. Mai ."},
    {MOSES_GERMAN, "Die Linie A.", "Die Linie A ."},
    {MOSES_GERMAN, "Am 25. Oktober usw. und am 100. Tag, Kapitel XIV. Ende",
     "Am 25. Oktober usw. und am 100 . Tag , Kapitel XIV. Ende"},
    {MOSES_GERMAN, "Rund 3,5 Mio. Euro bzw. 1.000 Dr. Müller",
     "Rund 3,5 Mio. Euro bzw. 1.000 Dr. Müller"},
    {MOSES_GERMAN, "„Halt“, sagte er; ‚nein‘.", "„ Halt “ , sagte er ; ‚ nein ‘ ."},
    {MOSES_FRENCH, "L'homme qu'il a vu aujourd'hui n'est pas l'été.",
     "L&apos; homme qu&apos; il a vu aujourd&apos; hui n&apos; est pas l&apos; été ."},
    {MOSES_FRENCH, "Il y en a. Voir p.ex. art. 5, éd. 2 et tél. 3",
     "Il y en a . Voir p.ex. art. 5 , éd. 2 et tél. 3"},
    {MOSES_FRENCH, "« Bonjour », dit-il\xC2\xA0; 18\xC2\xA0%\xC2\xA0!",
     "« Bonjour » , dit-il ; 18 % !"},
    {MOSES_FRENCH, "5'6 d'5 'a '", "5 &apos; 6 d &apos; 5 &apos; a &apos;"},
};
static const struct example tokenized_release_4[] = {
    {MOSES_ENGLISH, "So said I.", "So said I."},
    {MOSES_ENGLISH, "Rs. 500 paid", "Rs . 500 paid"},
    {MOSES_GERMAN, "Die Linie A.", "Die Linie A."},
};
static const struct example tokenized_plain[] = {
    {MOSES_ENGLISH, "A well-known e-mail: me@host.example/x?y=1&z=2",
     "A well @-@ known e @-@ mail : me @ host.example / x ? y = 1 & z = 2"},
    {MOSES_ENGLISH, "He said \"stop.\" [1] <b>|</b>", "He said \" stop . \" [ 1 ] < b > | < / b >"},
    {MOSES_FRENCH, "« Bonjour », dit-il\xC2\xA0; 18\xC2\xA0%\xC2\xA0!",
     "« Bonjour » , dit @-@ il ; 18 % !"},
};
static const struct example normalized[] = {
    {MOSES_ENGLISH, "Hello ( world )  , he said “yes”, ‘no’ .",
     "Hello (world), he said \"yes,\" 'no\" ."},
    {MOSES_ENGLISH, "It’s 5 % — or–so… ``quoted''", "It's 5% - or-so... \" quoted \" "},
    {MOSES_ENGLISH, "a’b’c ’ d‘e ‚", "a'b\"c \" d'e '"},
    {MOSES_ENGLISH,
     "«\xC2\xA0Oui\xC2\xA0»\xC2\xA0! nº\xC2\xA0"
     "5, 20\xC2\xA0ºC, 7\xC2\xA0"
     "cm\xC2\xA0?",
     "\"Oui\" ! nº 5, 20 ºC, 7 cm?"},
    {MOSES_ENGLISH,
     "1\xC2\xA0"
     "000\xC2\xA0"
     "000 \"end\". \"end\",. \"\".",
     "1.000.000 \"end.\" \"end,.\" \".\""},
    {MOSES_ENGLISH, "a :b ;c ` ''' ´´ (x) .", "a:b;c ' \" ' \" (x)."},
    {MOSES_GERMAN, "„Gut.“ Er sagte: „Ja“, dann \"Nein,\" und \"gut..\" <b>",
     "\"Gut\". Er sagte: \"Ja\", dann \"Nein\", und \"gut\".. <b>"},
    {MOSES_GERMAN, "\"gut.\"<b> \"gut.\" \x09<b> \"aus.\"",
     "\"gut.\"<b> \"gut\". \x09<b> \"aus\"."},
    {MOSES_GERMAN,
     "1\xC2\xA0"
     "000\xC2\xA0"
     "000 ,\" .\".\"x",
     "1,000,000 \", \"..\"x"},
};
static const struct example normalized_release_4[] = {
    {MOSES_ENGLISH, "Hello ( world )  , he said “yes”, ‘no’ .",
     "Hello (world), he said \"yes,\" \"no\" ."},
    {MOSES_ENGLISH, "a’b’c ’ d‘e ‚", "a'b\"c \" d'e \""},
};
static const struct example detokenized[] = {
    {MOSES_ENGLISH, "do n't say it is n't Jones ' house , is it ?",
     "do n't say it is n't Jones' house, is it?"},
    {MOSES_ENGLISH, "He said : \" stop ( now ) \" , and paid $ 5 or € 6 .",
     "He said: \"stop (now)\", and paid $5 or €6."},
    {MOSES_ENGLISH, "don &apos;t &amp;amp; &lt; b &gt; &#91; &bar; &ket; well @-@ known @-@ @-@ x",
     "don't &amp; < b > [|] well-known-@-@ x"},
    {MOSES_ENGLISH, "中 文 word 文 ! ‘ ' a ' '' b '' „ c “", "中文 word 文! ‘ 'a' ''b'' „c“"},
    {MOSES_ENGLISH, "a  , b  ' c '", "a , b 'c'"},
    {MOSES_ENGLISH, "<seg> x </seg>", "<seg> x </seg>"},
    {MOSES_FRENCH, "l ' homme l' homme qu' il ? ! : 5 % ; ?! L' 5",
     "l 'homme l'homme qu'il ? ! : 5 % ;?! L' 5"},
    {MOSES_GERMAN, "„ Gut “ , sagte er ; geht ' s \" ja \" .", "„Gut“, sagte er; geht 's \"ja\"."},
};

#define N(list) (sizeof(list) / sizeof((list)[0]))

/* Applies the steps to the line [size], behind "> ". */
static void apply(const struct moses_options *options, struct moses_work *work, const char *line,
                  size_t size, struct buffer *output)
{
    struct moses *moses = NULL;
    buffer_clear(output);
    assert_int_equal(buffer_append_string(output, "> "), STATUS_OK);
    assert_int_equal(moses_open(&moses, options), STATUS_OK);
    assert_int_equal(moses_apply(moses, work, line, size, output), STATUS_OK);
    moses_close(moses);
}

/* All lines with the same working memory; returns how many came out as wanted. */
static size_t count_right(const struct example *examples, size_t n, struct moses_options options)
{
    struct moses_work work = {0};
    struct buffer output = {0};
    size_t n_right = 0;
    for (size_t i = 0; i < n; i++) {
        options.language = examples[i].language;
        apply(&options, &work, examples[i].line, strlen(examples[i].line), &output);
        const bool is_right = strcmp(output.data + 2, examples[i].wanted) == 0;
        if (!is_right)
            print_message("line:   [%s]\nwanted: [%s]\nfound:  [%s]\n", examples[i].line,
                          examples[i].wanted, output.data + 2);
        n_right += is_right ? 1 : 0;
    }
    moses_work_free(&work);
    buffer_free(&output);
    return n_right;
}

#define ASSERT_ALL_RIGHT(examples, ...)                                                            \
    assert_int_equal(count_right(examples, N(examples), (struct moses_options){__VA_ARGS__}),      \
                     N(examples))

static void tokenizes(void **state)
{
    (void)state;
    ASSERT_ALL_RIGHT(tokenized, .steps = MOSES_TOKENIZE);
    ASSERT_ALL_RIGHT(tokenized_release_4, .steps = MOSES_TOKENIZE, .release = MOSES_RELEASE_4);
    ASSERT_ALL_RIGHT(tokenized_plain, .steps = MOSES_TOKENIZE, .splits_hyphens = true,
                     .keeps_special = true);
}

static void normalizes(void **state)
{
    (void)state;
    ASSERT_ALL_RIGHT(normalized, .steps = MOSES_NORMALIZE);
    ASSERT_ALL_RIGHT(normalized_release_4, .steps = MOSES_NORMALIZE, .release = MOSES_RELEASE_4);
}

static void detokenizes(void **state)
{
    (void)state;
    ASSERT_ALL_RIGHT(detokenized, .steps = MOSES_DETOKENIZE);
}

/* Words of Chinese, Japanese and Korean are joined: the first and last characters of what counts as
 * such, and their neighbours outside. */
static void joins_cjk_words(void **state)
{
    (void)state;
    static const uint32_t ranges[][2] = {
        {0x1100, 0x11FF}, {0x2E80, 0xA4CF}, {0xA840, 0xA87F}, {0xAC00, 0xD7AF},
        {0xF900, 0xFAFF}, {0xFE30, 0xFE4F}, {0xFF65, 0xFFDC}, {0x20000, 0x2FFFF},
    };
    const struct moses_options options = {.steps = MOSES_DETOKENIZE};
    struct moses_work work = {0};
    struct buffer line = {0}, output = {0};
    for (size_t i = 0; i < 4 * N(ranges); i++) {
        const uint32_t edge = ranges[i / 4][i / 2 % 2];
        const bool is_inside = i % 2 == 0;
        buffer_clear(&line);
        assert_int_equal(buffer_append_string(&line, "文 "), STATUS_OK);
        assert_int_equal(utf8_append(&line, is_inside   ? edge
                                            : i / 2 % 2 ? edge + 1
                                                        : edge - 1),
                         STATUS_OK);
        apply(&options, &work, line.data, line.size, &output);
        assert_int_equal(output.size - 2, is_inside ? line.size - 1 : line.size);
    }
    moses_work_free(&work);
    buffer_free(&line);
    buffer_free(&output);
}

static void leaves_blanks_and_tags_alone(void **state)
{
    (void)state;
    static const struct example blank[] = {
        {MOSES_ENGLISH, "", ""},
        {MOSES_GERMAN, "   ", "   "},
        {MOSES_FRENCH, " \t\xC2\xA0\r\xE3\x80\x80", " \t\xC2\xA0\r\xE3\x80\x80"},
        {MOSES_ENGLISH, "\x01\x1C", ""},
    };
    static const struct example tags[] = {
        {MOSES_ENGLISH, "<a href=\"b\">", "<a href=\"b\">"},
        {MOSES_ENGLISH, "<>", "&lt; &gt;"},
        {MOSES_ENGLISH, "<a> ", "&lt; a &gt;"},
    };
    ASSERT_ALL_RIGHT(blank, .steps = MOSES_TOKENIZE);
    ASSERT_ALL_RIGHT(tags, .steps = MOSES_TOKENIZE, .skips_tags = true);
}

static void changes_case_and_controls(void **state)
{
    (void)state;
    static const struct example lower[] = {
        {MOSES_ENGLISH, "AZ az ÄÖÜ ẞ İI Σ ΟΔΟΣ Ⅷ Ⓐ Ǆǅ Ж \xE2\xB1\xAF Ⱥ 𐐀",
         "az az äöü ß i\xCC\x87i σ οδοσ ⅷ ⓐ ǆǆ ж \xC9\x90 ⱥ 𐐨"},
    };
    static const struct example printable[] = {
        {MOSES_ENGLISH,
         "a\tb\x7F\xC2\xAD"
         "c\xE2\x80\x8B\xEE\x80\x80 \xCD\xB8 é\xF0\x9F\x98\x80\xC2\xA0",
         "a b  c     é\xF0\x9F\x98\x80\xC2\xA0"},
    };
    ASSERT_ALL_RIGHT(lower, .steps = MOSES_LOWERCASE);
    ASSERT_ALL_RIGHT(printable, .steps = MOSES_PRINTABLE);
}

static void runs_steps_in_order(void **state)
{
    (void)state;
    static const struct example all[] = {
        {MOSES_ENGLISH, "It’s 5\u00A0CM\u00AD“HE”", "it &apos;s 5 cm &quot; he &quot;"},
        {MOSES_GERMAN, "Es geht’S, am Montag Z.B. “SO”.",
         "es geht &apos; s , am montag z.b. &quot; so &quot; ."},
    };
    ASSERT_ALL_RIGHT(all,
                     .steps = MOSES_TOKENIZE | MOSES_PRINTABLE | MOSES_NORMALIZE | MOSES_LOWERCASE);
}

/* The words that the script marks runs of dots with, NUL, and bytes that are not UTF-8. */
static void takes_any_bytes(void **state)
{
    (void)state;
    static const char line[] = "DOTMULTI a\0b \xC3 \xF0\x9F.. DOTMULTI.";
    const struct moses_options options = {.steps = MOSES_TOKENIZE};
    struct moses_work work = {0};
    struct buffer output = {0};
    apply(&options, &work, line, sizeof line - 1, &output);
    assert_string_equal(output.data, "> DOTMULTI ab \xEF\xBF\xBD \xEF\xBF\xBD .. DOTMULTI .");
    moses_work_free(&work);
    moses_work_free(&work);
    buffer_free(&output);
}

/* Classes that later versions of Unicode changed, and some that nothing will change. */
static void knows_perls_classes(void **state)
{
    (void)state;
    enum { LETTER = CHARACTER_ALPHA | CHARACTER_ALNUM };
    static const struct {
        uint32_t code_point;
        unsigned classes;
    } known[] = {
        {'a', LETTER | CHARACTER_LOWER},
        {'Z', LETTER},
        {'7', CHARACTER_ALNUM | CHARACTER_NUMBER},
        {'$', CHARACTER_CURRENCY},
        {'\v', CHARACTER_SPACE | CHARACTER_OTHER},
        {0x1C, CHARACTER_OTHER},
        {0x85, CHARACTER_SPACE | CHARACTER_OTHER},
        {0xA0, CHARACTER_SPACE},
        {0xAA, LETTER | CHARACTER_LOWER},
        {0xB2, CHARACTER_NUMBER},
        {0x301, 0},
        {0xC04, 0},
        {0xF82, 0},
        {0x10FC, LETTER},
        {0x2167, LETTER | CHARACTER_NUMBER},
        {0x24D0, LETTER | CHARACTER_LOWER},
        {0x3007, LETTER | CHARACTER_NUMBER},
        {0xA7F3, LETTER},
        {0xAB69, LETTER},
        {0xE000, CHARACTER_OTHER},
        {0x11081, 0},
        {0x11F02, CHARACTER_OTHER}, /* of Unicode 15 */
        {0x1D7D7, CHARACTER_ALNUM | CHARACTER_NUMBER},
        {0x20000, LETTER},
    };
    struct character_table *table = calloc(1, sizeof *table);
    assert_non_null(table);
    character_fill(table);
    for (size_t i = 0; i < N(known); i++) {
        char bytes[UTF8_MAX_BYTES + 1] = "";
        const size_t size = utf8_write(bytes, known[i].code_point);
        size_t next = 0, start = 9;
        assert_int_equal(character_next(table, bytes, &next), known[i].classes);
        assert_int_equal(next, size);
        assert_int_equal(character_before(table, bytes, size, &start), known[i].classes);
        assert_int_equal(start, 0);
    }
    free(table);
}

/* A megabyte of what would make a search start over and over. */
static void takes_long_lines_in_time(void **state)
{
    (void)state;
    static const char *const units[] = {"....",  "'\"'`", ",,5,", "a'a'", "\" . ", "&lt;",
                                        ".\" <", "’a’a",  "a. b", " @-@", "   x",  "\u00A05 "};
    static const unsigned steps[] = {MOSES_LOWERCASE | MOSES_NORMALIZE | MOSES_TOKENIZE,
                                     MOSES_PRINTABLE | MOSES_DETOKENIZE};
    enum { SIZE = 1 << 20 };
    const double start_s = clock_cpu_seconds();
    struct moses_work work = {0};
    struct buffer line = {0}, output = {0};
    for (size_t i = 0; i < N(units) * N(steps); i++) {
        buffer_clear(&line);
        while (line.size < SIZE)
            assert_int_equal(buffer_append_string(&line, units[i / N(steps)]), STATUS_OK);
        const struct moses_options options = {.language = (enum moses_language)(i % 3),
                                              .steps = steps[i % N(steps)]};
        apply(&options, &work, line.data, line.size, &output);
    }
    moses_work_free(&work);
    buffer_free(&line);
    buffer_free(&output);
    assert_true(clock_cpu_seconds() - start_s < 30);
}

/* Words of quotes, all different: each opens once, then closes. */
static void remembers_many_quotes(void **state)
{
    (void)state;
    enum { BITS = 16 };
    struct moses_work work = {0};
    struct buffer line = {0}, wanted = {0}, output = {0};
    assert_int_equal(buffer_append_string(&wanted, "> "), STATUS_OK);
    for (unsigned i = 0; i < 2u << BITS; i++) {
        char mark[BITS + 1] = "";
        for (unsigned bit = 0; bit < BITS; bit++)
            mark[bit] = i >> bit & 1 ? '"' : '`';
        assert_int_equal(buffer_printf(&line, "%s x ", mark), STATUS_OK);
        const bool opens = i >> BITS == 0;
        assert_int_equal(
            buffer_printf(&wanted, opens ? "%s%sx" : "%s%s x", opens && i > 0 ? " " : "", mark),
            STATUS_OK);
    }
    const struct moses_options options = {.language = MOSES_GERMAN, .steps = MOSES_DETOKENIZE};
    apply(&options, &work, line.data, line.size, &output);
    assert_true(strcmp(output.data, wanted.data) == 0);
    moses_work_free(&work);
    buffer_free(&line);
    buffer_free(&wanted);
    buffer_free(&output);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokenizes),
        cmocka_unit_test(normalizes),
        cmocka_unit_test(detokenizes),
        cmocka_unit_test(joins_cjk_words),
        cmocka_unit_test(leaves_blanks_and_tags_alone),
        cmocka_unit_test(changes_case_and_controls),
        cmocka_unit_test(runs_steps_in_order),
        cmocka_unit_test(takes_any_bytes),
        cmocka_unit_test(knows_perls_classes),
        cmocka_unit_test(takes_long_lines_in_time),
        cmocka_unit_test(remembers_many_quotes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
