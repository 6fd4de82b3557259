/* Cutting, joining and learning worked out by hand. tests/cli/test_subword_wordpiece.py compares
 * random texts with plain ways to do the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/scratch.h"
#include "text/subword/wordpiece.h"
#include "text/subword/wordpiece_learn.h"
#include "text/subword/wordpiece_words.h"

static const char vocabulary[] = "[UNK]\n"
                                 "un\n"
                                 "##aff\n"
                                 "##able\n"
                                 "##ab\n"
                                 "unaff\n"
                                 "\xC3\xA4\n"
                                 "##\xC3\xA4\n"
                                 "##\n"
                                 "a\n";

static struct wordpiece *open_vocabulary(const char *text)
{
    struct scratch scratch;
    scratch_open(&scratch);
    const char *path = scratch_write(&scratch, "vocab.txt", text, strlen(text));
    struct wordpiece *wordpiece = NULL;
    assert_int_equal(wordpiece_open(&wordpiece, path, "[UNK]"), STATUS_OK);
    scratch_close(&scratch);
    return wordpiece;
}

static void check_pieces(const struct wordpiece *wordpiece, const char *words, const char *expected)
{
    struct ids ids = {0};
    struct buffer found = {0};
    assert_int_equal(wordpiece_encode(wordpiece, words, strlen(words), 8, &ids), STATUS_OK);
    for (size_t i = 0; i < ids.size; i++) {
        size_t size;
        const char *piece = wordpiece_piece(wordpiece, ids.data[i], &size);
        assert_int_equal(buffer_append(&found, " ", i > 0), STATUS_OK);
        assert_int_equal(buffer_append(&found, piece, size), STATUS_OK);
    }
    assert_string_equal(found.size > 0 ? found.data : "", expected);
    ids_free(&ids);
    buffer_free(&found);
}

static void words_are_cut_into_the_longest_pieces(void **state)
{
    (void)state;
    struct wordpiece *wordpiece = open_vocabulary(vocabulary);
    check_pieces(wordpiece, "", "");
    check_pieces(wordpiece, "un", "un");
    check_pieces(wordpiece, "unable un", "un ##able un");
    check_pieces(wordpiece, "unaffab", "unaff ##ab");
    check_pieces(wordpiece, "unaffa", "[UNK]");    /* no "##a" behind "unaff" */
    check_pieces(wordpiece, "unaffable", "[UNK]"); /* 9 characters */
    check_pieces(wordpiece, "unabable a", "un ##ab ##able a");
    check_pieces(wordpiece, "\xC3\xA4\xC3\xA4", "\xC3\xA4 ##\xC3\xA4");
    check_pieces(wordpiece, "\xC3\xA5", "[UNK]"); /* shares its first byte with a piece */
    check_pieces(wordpiece, "##able", "##able");  /* found as it stands, as BERT does */
    check_pieces(wordpiece, "##", "##");
    check_pieces(wordpiece, "able aff", "[UNK] [UNK]");
    wordpiece_close(wordpiece);
}

static void pieces_are_joined(void **state)
{
    (void)state;
    struct buffer text = {0};
    const char pieces[] = "##able  un ##aff ##able ## \xC3\xA4";
    assert_int_equal(buffer_append(&text, "> ", 2), STATUS_OK); /* what is there is left alone */
    assert_int_equal(wordpiece_decode_pieces(pieces, sizeof pieces - 1, &text), STATUS_OK);
    assert_string_equal(text.data, "> ##able unaffable ## \xC3\xA4");
    struct wordpiece *wordpiece = open_vocabulary(vocabulary);
    buffer_clear(&text);
    assert_int_equal(wordpiece_decode(wordpiece, (const int32_t[]){1, 4, 9}, 3, &text), STATUS_OK);
    assert_string_equal(text.data, "unab a");
    assert_int_equal(wordpiece_decode(wordpiece, (const int32_t[]){10}, 1, &text), STATUS_DATA);
    assert_int_equal(wordpiece_decode(wordpiece, (const int32_t[]){-1}, 1, &text), STATUS_DATA);
    wordpiece_close(wordpiece);
    buffer_free(&text);
}

static void check_words(bool is_basic, bool is_lowercase, const char *line, const char *expected)
{
    const struct wordpiece_words_options options = {is_basic, is_lowercase};
    struct wordpiece_words *words = NULL;
    const struct buffer *text;
    assert_int_equal(wordpiece_words_open(&words, &options), STATUS_OK);
    for (int i = 0; i < 2; i++) { /* the second time with memory that was used */
        assert_int_equal(wordpiece_words_split(words, line, strlen(line), &text), STATUS_OK);
        assert_string_equal(text->size > 0 ? text->data : "", expected);
    }
    wordpiece_words_close(words);
}

static void lines_are_split_into_words(void **state)
{
    (void)state;
    const char *line =
        " \xC3\x89t\xC3\xA9, (I\xC2\xA0saw)\t\xE6\xBC\xA2\xE5\xAD\x97 a\x01z\xC2\xAD! ";
    check_words(false, false, line,
                "\xC3\x89t\xC3\xA9, (I saw) \xE6\xBC\xA2\xE5\xAD\x97 a\x01z\xC2\xAD!");
    check_words(true, false, line, "\xC3\x89t\xC3\xA9 , ( I saw ) \xE6\xBC\xA2 \xE5\xAD\x97 az !");
    check_words(false, true, line, "ete , ( i saw ) \xE6\xBC\xA2 \xE5\xAD\x97 az !");
    check_words(true, false, "", "");
    check_words(true, true, "\xEF\xBF\xBD \x7F", "");
    check_words(false, true, "A-B_C $5", "a - b _ c $ 5");
    check_words(false, true, "\xEA\xB0\x80", "\xE1\x84\x80\xE1\x85\xA1"); /* Hangul decomposes */
}

static void check_learnt(const char *words, const struct wordpiece_learn_options *options,
                         const char *expected, int64_t pieces)
{
    struct wordpiece_learner *learner = NULL;
    struct wordpiece_learn_report report;
    struct buffer found = {0};
    assert_int_equal(wordpiece_learner_open(&learner, options), STATUS_OK);
    assert_int_equal(wordpiece_learner_add(learner, words, strlen(words)), STATUS_OK);
    assert_int_equal(wordpiece_learner_run(learner, NULL, NULL, &found, &report), STATUS_OK);
    assert_string_equal(found.data, expected);
    assert_int_equal(report.pieces, pieces);
    wordpiece_learner_close(learner);
    buffer_free(&found);
}

/* hug hug pug pun bun hugs: the units are h 3, p 2, b 1, ##u 6, ##g 4, ##n 2, ##s 1, 19 in all. The
 * pairs gain: h ##u 3 log(3 * 19 / 18) = 3.46; ##u ##g 4 log(4 * 19 / 24) = 4.61, the most; ##u ##n
 * and p ##u 2 log(2 * 19 / 12) = 2.31; ##g ##s log(19 / 4) = 1.56; b ##u log(19 / 6) = 1.15. With
 * ##ug 4, ##u 2 and 15 in all, ##u ##n gains 2 log(2 * 15 / 4) = 4.03 and h ##ug
 * 3 log(3 * 15 / 12) = 3.97. With ##un 2 and 13 in all, h ##ug still gains
 * 3 log(3 * 13 / 12) = 3.54 and b ##un, the next, log(13 / 2) = 1.87. The
 * special piece "h" is not written twice. */
static void the_gain_decides_what_is_joined(void **state)
{
    (void)state;
    static const char *const specials[] = {"[UNK]", "h"};
    struct wordpiece_learn_options options = wordpiece_learn_defaults();
    options.specials = specials;
    options.n_specials = 2;
    options.min_count = 1;
    options.size = 18;
    check_learnt("hug hug pug pun bun hugs", &options,
                 "[UNK]\nh\nb\ng\nn\np\ns\nu\n##b\n##g\n##h\n##n\n##p\n##s\n##u\n##ug\n##un\nhug\n",
                 18);
}

/* The same by the ratio: ##g ##s 1 / 4, all others 1 / 6. With ##gs 1 and ##g 3, all pairs have
 * 1 / 6, and the most frequent are ##u ##g and h ##u, 3 times each, of which "##u" comes first. */
static void the_ratio_decides_what_is_joined(void **state)
{
    (void)state;
    struct wordpiece_learn_options options = wordpiece_learn_defaults();
    options.n_specials = 0;
    options.min_count = 1;
    options.size = 16;
    options.score = WORDPIECE_SCORE_RATIO;
    check_learnt("hug hug pug pun bun hugs", &options,
                 "b\ng\nh\nn\np\ns\nu\n##b\n##g\n##h\n##n\n##p\n##s\n##u\n##gs\n##ug\n", 16);
}

static void nothing_is_joined_over_a_character_without_a_piece(void **state)
{
    (void)state;
    struct wordpiece_learn_options options = wordpiece_learn_defaults();
    options.n_specials = 0;
    options.n_characters = 2;
    options.min_count = 1;
    options.size = 100;
    check_learnt("axb axb ab", &options, "a\nb\n##a\n##b\nab\n", 5);
}

/* "##" and "x" inside a word join to "##x", which is there already. */
static void a_unit_may_come_about_twice(void **state)
{
    (void)state;
    struct wordpiece_learn_options options = wordpiece_learn_defaults();
    options.n_specials = 0;
    options.min_count = 1;
    options.size = 100;
    check_learnt("##x ##x", &options, "#\nx\n###\n##x\n##\n", 5);
}

static void too_few_pieces_and_no_words_are_refused(void **state)
{
    (void)state;
    struct wordpiece_learn_options options = wordpiece_learn_defaults();
    struct wordpiece_learn_report report;
    struct buffer found = {0};
    for (int i = 0; i < 2; i++) {
        struct wordpiece_learner *learner = NULL;
        options.size = 8;
        assert_int_equal(wordpiece_learner_open(&learner, &options), STATUS_OK);
        assert_int_equal(wordpiece_learner_add(learner, "abc", i == 0 ? 3 : 0), STATUS_OK);
        assert_int_equal(wordpiece_learner_run(learner, NULL, NULL, &found, &report),
                         i == 0 ? STATUS_CONFIG : STATUS_DATA);
        wordpiece_learner_close(learner);
    }
    buffer_free(&found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_cut_into_the_longest_pieces),
        cmocka_unit_test(pieces_are_joined),
        cmocka_unit_test(lines_are_split_into_words),
        cmocka_unit_test(the_gain_decides_what_is_joined),
        cmocka_unit_test(the_ratio_decides_what_is_joined),
        cmocka_unit_test(nothing_is_joined_over_a_character_without_a_piece),
        cmocka_unit_test(a_unit_may_come_about_twice),
        cmocka_unit_test(too_few_pieces_and_no_words_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
