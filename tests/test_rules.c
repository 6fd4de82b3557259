/* Cleaning of lines, what texts consist of, and each rule, by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "text/prep/rules.h"

static void cleans_to(struct clean_options options, const char *text, const char *wanted)
{
    struct cleaner *cleaner = NULL;
    struct buffer output = {0};
    bool is_changed = false;
    assert_int_equal(cleaner_open(&cleaner, &options), STATUS_OK);
    assert_int_equal(buffer_append_string(&output, "<"), STATUS_OK);
    assert_int_equal(clean_line(cleaner, text, strlen(text), &output, &is_changed), STATUS_OK);
    assert_string_equal(output.data + 1, wanted);
    assert_int_equal(output.data[0], '<');
    assert_int_equal(is_changed, strcmp(text, wanted) != 0);
    buffer_free(&output);
    cleaner_close(cleaner);
}

static void cleans_white_space_and_controls(void **state)
{
    (void)state;
    const struct clean_options nfc = {.form = CLEAN_NFC};
    cleans_to(nfc, "", "");
    cleans_to(nfc, "a b", "a b");
    cleans_to(nfc, "  a \t b\f ", "a b");
    cleans_to(nfc, " a", "a");
    cleans_to(nfc, "a ", "a");
    cleans_to(nfc, "a  b", "a b");
    cleans_to(nfc, " \t ", "");
    cleans_to(nfc,
              "a\xC2\xA0\xE3\x80\x80\xE2\x80\xA8"
              "b",
              "a b"); /* U+00A0 U+3000 U+2028 */
    cleans_to(nfc,
              "a\x01\x1F\x7F\xC2\x9F"
              "b",
              "ab");
    cleans_to(nfc,
              "a\xC2\x85"
              "b",
              "a b"); /* U+0085 is white space */
    cleans_to(nfc,
              "co\xC2\xAD"
              "op\xE2\x80\x8B\xEF\xBB\xBF\xE2\x80\xAAx\xE2\x80\xAC\xE2\x81\xA9",
              "coopx");
    cleans_to(nfc, "\xEF\xBF\xBE\xEF\xB7\x90x", "x"); /* U+FFFE, U+FDD0 */
    /* joiners of Persian and of emoji, and direction marks, stay */
    cleans_to(nfc, "\xD9\x85\xE2\x80\x8C\xD8\xA7\xE2\x80\x8D\xE2\x80\x8E",
              "\xD9\x85\xE2\x80\x8C\xD8\xA7\xE2\x80\x8D\xE2\x80\x8E");
    /* a control character between a letter and its mark is no obstacle */
    cleans_to(nfc, "a\xC2\xAD\xCC\x88", "\xC3\xA4");
    const struct clean_options keep = {.form = CLEAN_NFC, .keeps_space = true};
    cleans_to(keep, " a \t\x01 a\xCC\x88", " a \t\x01 \xC3\xA4");
}

static void cleans_to_unicode_forms(void **state)
{
    (void)state;
    static const char text[] = "\xEF\xAC\x81x a\xCC\x88 \xEF\xBC\xA1 \xC2\xBD \xC2\xA8";
    cleans_to((struct clean_options){.form = CLEAN_AS_IS}, text, text);
    cleans_to((struct clean_options){.form = CLEAN_NFC}, text,
              "\xEF\xAC\x81x \xC3\xA4 \xEF\xBC\xA1 \xC2\xBD \xC2\xA8");
    /* ligature, full width, fraction; the lone diaeresis becomes a space and a mark */
    cleans_to((struct clean_options){.form = CLEAN_NFKC}, text,
              "fix \xC3\xA4 A 1\xE2\x81\x84"
              "2 \xCC\x88");
    /* Hangul from its parts, and an Arabic ligature that is 18 letters and spaces long */
    cleans_to((struct clean_options){.form = CLEAN_NFC}, "\xE1\x84\x80\xE1\x85\xA1",
              "\xEA\xB0\x80");
    struct cleaner *cleaner = NULL;
    struct buffer output = {0};
    bool is_changed = false;
    const struct clean_options nfkc = {.form = CLEAN_NFKC};
    assert_int_equal(cleaner_open(&cleaner, &nfkc), STATUS_OK);
    for (int i = 0; i < 3; i++) { /* grows, and works again after growing */
        buffer_clear(&output);
        char line[3 * 500];
        for (size_t k = 0; k < sizeof line; k += 3)
            memcpy(line + k, "\xEF\xB7\xBA", 3);
        assert_int_equal(clean_line(cleaner, line, sizeof line, &output, &is_changed), STATUS_OK);
        assert_int_equal(output.size, 500 * 33);
    }
    buffer_free(&output);
    cleaner_close(cleaner);
}

static void unifies_punctuation(void **state)
{
    (void)state;
    const struct clean_options unify = {.form = CLEAN_NFC, .unifies_punctuation = true};
    cleans_to(unify, "\xE2\x80\x9Ehallo\xE2\x80\x9C \xC2\xABx\xC2\xBB \xE2\x80\x99s",
              "\"hallo\" \"x\" 's");
    cleans_to(unify, "a \xE2\x80\x93 b\xE2\x80\xA6 \xEF\xBC\x8C\xEF\xBC\xA1\xEF\xBC\x91",
              "a - b... ,A1");
    cleans_to((struct clean_options){.form = CLEAN_NFC}, "\xE2\x80\x99", "\xE2\x80\x99");
}

static void measures(const char *language, const char *text, int64_t characters, int64_t visible,
                     int64_t letters, int64_t foreign, double words)
{
    const struct script_set scripts = script_set_of(language);
    const struct measure found = measure_text(text, strlen(text), &scripts);
    assert_int_equal(found.characters, characters);
    assert_int_equal(found.visible, visible);
    assert_int_equal(found.letters, letters);
    assert_int_equal(found.foreign, foreign);
    assert_true(found.words > words - 1e-9 && found.words < words + 1e-9);
}

static void measures_texts(void **state)
{
    (void)state;
    measures("en", "", 0, 0, 0, 0, 0);
    measures("en", " ", 1, 0, 0, 0, 0);
    measures("en", "It's 5 %.", 9, 7, 3, 0, 3);
    measures("de",
             "stra\xC3\x9F"
             "e a\xCC\x88",
             9, 8, 8, 0, 2); /* a mark counts as a letter */
    measures("en", "\xD0\x94\xD0\xB0 ok", 5, 4, 4, 2, 2);
    measures("ru", "\xD0\x94\xD0\xB0 ok", 5, 4, 4, 2, 2);
    measures(NULL, "\xD0\x94\xD0\xB0 ok", 5, 4, 4, 0, 2);
    measures("xx", "\xD0\x94\xD0\xB0 ok", 5, 4, 4, 0, 2);
    /* three Han letters are two words; digits and Latin between them are words of their own */
    measures("zh", "\xE6\x97\xA5\xE6\x9C\xAC\xE4\xBA\xBA", 3, 3, 3, 0, 2);
    measures("zh", "2024\xE5\xB9\xB4iPhone\xE6\x97\xA5\xE6\x9C\xAC\xE3\x80\x82", 14, 14, 9, 6, 4);
    /* five Kana, with the sound mark that is of no script, are 4 / 2.5 words */
    measures("ja", "\xE3\x82\xB3\xE3\x83\xBC\xE3\x81\xAE\xE3\x81\xAE\xE3\x81\xAE", 5, 5, 5, 0, 1.6);
    /* four Thai letters are a word; the mark among them is a letter of Thai */
    measures("th", "\xE0\xB8\xAA\xE0\xB8\xA7\xE0\xB8\xB1\xE0\xB8\xAA", 4, 4, 4, 0, 1);
    measures("ko", "\xED\x95\x9C \xED\x95\x9C\xE6\x97\xA5", 4, 3, 3, 0, 2 + 2.0 / 3);
    measures("fa", "\xD9\x85\xE2\x80\x8C\xD8\xA7", 3, 2, 2, 0, 1); /* the joiner is nothing */
    measures("en", "\xE2\x80\x93 5 %", 5, 3, 0, 0, 3);
}

static void knows_scripts_of_languages(void **state)
{
    (void)state;
    static const struct {
        const char *language;
        size_t n;
    } cases[] = {
        {"en", 1}, {"EN", 1},      {"ja", 3},  {"ko", 2}, {"zh", 2}, {"zh_TW", 2},
        {"sr", 2}, {"sr_Latn", 1}, {"deu", 1}, {"", 0},   {"xx", 0}, {"nosuchlanguage", 0},
        {NULL, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(script_set_of(cases[i].language).n, cases[i].n);
}

static enum prep_rule judge(const struct prep_rules *rules, const char *source, const char *target,
                            const char *source_language, const char *target_language)
{
    const struct pair pair = {{source, strlen(source)}, {target, strlen(target)}};
    const struct script_set sources = script_set_of(source_language);
    const struct script_set targets = script_set_of(target_language);
    return prep_judge(rules, &pair, &sources, &targets);
}

static void rules_by_hand(void **state)
{
    (void)state;
    const struct prep_rules usual = prep_rules_default();
    struct prep_rules rules = usual;
#define JUDGE(source, target) judge(&rules, source, target, "en", "de")
    assert_int_equal(JUDGE("a house", "ein Haus"), PREP_KEEP);
    assert_int_equal(JUDGE("", "ein Haus"), PREP_EMPTY);
    assert_int_equal(JUDGE("a house", " "), PREP_EMPTY);
    assert_int_equal(JUDGE("", ""), PREP_EMPTY);

    rules.max_words = 3;
    assert_int_equal(JUDGE("a b c", "d e f"), PREP_KEEP);
    assert_int_equal(JUDGE("a b c d", "d e f"), PREP_TOO_LONG);
    assert_int_equal(JUDGE("a b c", "d e f g"), PREP_TOO_LONG);
    rules = usual;
    rules.max_characters = 5;
    assert_int_equal(JUDGE("\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4", "abcde"), PREP_KEEP);
    assert_int_equal(JUDGE("abcdef", "abcde"), PREP_TOO_LONG);
    rules.max_characters = 0;
    assert_int_equal(JUDGE("abcdef", "abcde"), PREP_KEEP);

    rules = usual;
    rules.min_words = 2;
    assert_int_equal(JUDGE("a b", "c"), PREP_TOO_SHORT);
    assert_int_equal(JUDGE("a b", "c d"), PREP_KEEP);
    rules = usual;
    rules.min_characters = 3;
    assert_int_equal(JUDGE("abc", "de"), PREP_TOO_SHORT);
    assert_int_equal(JUDGE("abc", "def"), PREP_KEEP);

    /* 2.5 * 2 + 5 = 10 words are fine, 11 are not, either way round */
    rules = usual;
    assert_int_equal(JUDGE("a b", "c d e f g h i j k l"), PREP_KEEP);
    assert_int_equal(JUDGE("a b", "c d e f g h i j k l m"), PREP_RATIO);
    assert_int_equal(JUDGE("c d e f g h i j k l m", "a b"), PREP_RATIO);
    rules.max_ratio = 0;
    assert_int_equal(JUDGE("c d e f g h i j k l m", "a b"), PREP_KEEP);
    rules.max_ratio = 1;
    rules.ratio_slack = 0;
    assert_int_equal(JUDGE("a b", "c d"), PREP_KEEP);
    assert_int_equal(JUDGE("a b", "c d e"), PREP_RATIO);

    rules = usual;
    assert_int_equal(JUDGE("same text", "same text"), PREP_COPY);
    rules.drops_copies = false;
    assert_int_equal(JUDGE("same text", "same text"), PREP_KEEP);

    /* four letters of eight are not more than half */
    rules = usual;
    static const char half[] = "\xD0\x94\xD0\xB0\xD0\xB4\xD0\xB0 abcd";
    static const char more[] = "\xD0\x94\xD0\xB0\xD0\xB4\xD0\xB0\xD0\xB0 abcd";
    assert_int_equal(JUDGE(half, "xyz"), PREP_KEEP);
    assert_int_equal(JUDGE(more, "xyz"), PREP_SCRIPT);
    assert_int_equal(JUDGE("xyz", more), PREP_SCRIPT);
    assert_int_equal(judge(&rules, more, "xyz", NULL, "de"), PREP_KEEP);
    assert_int_equal(judge(&rules, more, "xyz", "ru", "de"), PREP_KEEP);
    rules.max_foreign = 1;
    assert_int_equal(JUDGE(more, "xyz"), PREP_KEEP);
    rules.max_foreign = 0;
    assert_int_equal(JUDGE("xyz \xC2\xB5", "xy"), PREP_KEEP); /* a letter of no script */

    rules = usual;
    assert_int_equal(JUDGE("a 12", "b 12"), PREP_KEEP);
    assert_int_equal(JUDGE("a 123", "b 123"), PREP_KEEP); /* 3 of 4 are not over 3/4 */
    assert_int_equal(JUDGE("a 1234", "b 123"), PREP_NON_LETTERS);
    rules.max_non_letters = 1;
    assert_int_equal(JUDGE("1", "2"), PREP_KEEP);
#undef JUDGE
}

/* A translation between scripts with and without spaces is no matter of ratio. */
static void ratio_knows_chinese(void **state)
{
    (void)state;
    const struct prep_rules rules = prep_rules_default();
    char chinese[3 * 60 + 1] = "", english[2 * 40 + 1] = "", shorter[2 * 8 + 1] = "";
    for (int i = 0; i < 60; i++)
        strcat(chinese, "\xE6\x97\xA5");
    for (int i = 0; i < 40; i++)
        strcat(english, "a ");
    for (int i = 0; i < 8; i++)
        strcat(shorter, "a ");
    assert_int_equal(judge(&rules, chinese, english, "zh", "en"), PREP_KEEP);  /* 40 : 40 */
    assert_int_equal(judge(&rules, chinese, shorter, "zh", "en"), PREP_RATIO); /* 40 : 8 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cleans_white_space_and_controls),
        cmocka_unit_test(cleans_to_unicode_forms),
        cmocka_unit_test(unifies_punctuation),
        cmocka_unit_test(measures_texts),
        cmocka_unit_test(knows_scripts_of_languages),
        cmocka_unit_test(rules_by_hand),
        cmocka_unit_test(ratio_knows_chinese),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
