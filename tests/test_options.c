/* Command lines as users type them, and what they are told about the wrong ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "tools/options.h"

struct values {
    int64_t beam;
    double alpha;
    const char *model;
    const char *format;
    bool is_quiet;
    bool is_lowercase;
    bool is_split;
    struct option_list models;
    struct option_list input;
};

#define AT(member) offsetof(struct values, member)

static const struct option table[] = {
    {"beam", 'b', NULL, "N", OPTION_INT, AT(beam), 1, 64, NULL, "beam width (default: 4)"},
    {"alpha", 0, NULL, "X", OPTION_DOUBLE, AT(alpha), 0, INFINITY, NULL, "length penalty"},
    {"out", 'o', NULL, "FILE", OPTION_STRING, AT(model), 0, 0, NULL, "where to"},
    {"format", 'f', NULL, "NAME", OPTION_STRING, AT(format), 0, 0, "json|text|svg", "form"},
    {"quiet", 'q', NULL, NULL, OPTION_FLAG, AT(is_quiet), 0, 0, NULL, "say less"},
    {"lowercase", 0, "lc", NULL, OPTION_FLAG, AT(is_lowercase), 0, 0, NULL, "no capitals"},
    {"split-digits", 'd', NULL, "BOOL", OPTION_SWITCH, AT(is_split), 0, 0, NULL, "one by one"},
    {"beam-size", 0, NULL, "N", OPTION_INT, AT(beam), 1, 64, NULL, NULL},
    {"model", 'm', NULL, "DIR", OPTION_LIST, AT(models), 0, 0, NULL, "a model; may be repeated"},
    {"input", 'i', "in", "FILE", OPTION_WORDS, AT(input), 0, 0, NULL, "files"},
    {.name = "server", .letter = 's', .kind = OPTION_REFUSED, .help = "use a pipe"},
};

static const struct options_command command = {
    .verb = "test",
    .arguments = "[FILE...]",
    .description = "Tests.",
    .options = table,
    .n_options = sizeof table / sizeof table[0],
    .max_arguments = 2,
};

enum { MOST_WORDS = 16 };

struct parsed {
    struct values values;
    struct option_list arguments;
    bool wants_help;
    enum status code;
};

/* Parses a line cut at spaces; text must live as long as the result. */
static struct parsed parse(char *text)
{
    struct parsed parsed = {.values = {.beam = 4, .alpha = 0.5}};
    char *words[MOST_WORDS] = {"test"};
    int n_words = 1;
    char *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        assert_true(n_words < MOST_WORDS);
        words[n_words++] = word;
    }
    parsed.code = options_parse(&command, n_words, words, &parsed.values, &parsed.arguments,
                                &parsed.wants_help);
    return parsed;
}

static void release(struct parsed *parsed)
{
    options_free(&command, &parsed->values, &parsed->arguments);
}

static void every_spelling_sets_the_value(void **state)
{
    (void)state;
    static const char *const lines[] = {"--beam 7", "--beam=7", "-b 7",     "-b7",
                                        "-b=7",     "-qb 7",    "-b 3 -b7", "-lc -b 7 -q"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char text[64];
        strcpy(text, lines[i]);
        struct parsed parsed = parse(text);
        assert_int_equal(parsed.code, STATUS_OK);
        assert_int_equal(parsed.values.beam, 7);
        assert_int_equal(parsed.values.is_quiet, strchr(lines[i], 'q') != NULL);
        assert_int_equal(parsed.values.is_lowercase, strstr(lines[i], "lc") != NULL);
        release(&parsed);
    }
}

static void underscores_are_dashes_and_names_have_twins(void **state)
{
    (void)state;
    static const char *const lines[] = {"--beam-size 9", "--beam_size=9"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char text[64];
        strcpy(text, lines[i]);
        struct parsed parsed = parse(text);
        assert_int_equal(parsed.code, STATUS_OK);
        assert_int_equal(parsed.values.beam, 9);
        release(&parsed);
    }
}

static void switches_go_on_and_off(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        bool is_split;
        size_t n_arguments;
    } cases[] = {
        {"--split-digits", true, 0},
        {"--split_digits=true", true, 0},
        {"--split_digits=yes", true, 0},
        {"-d", true, 0},
        {"-qd", true, 0},
        {"--split-digits true", true, 0},
        {"--split-digits file", true, 1},
        {"--split-digits 0", true, 1},
        {"-d --split-digits=false", false, 0},
        {"-d --split-digits false", false, 0},
        {"-d --split-digits=0", false, 0},
        {"-q", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
        strcpy(text, cases[i].line);
        struct parsed parsed = parse(text);
        assert_int_equal(parsed.code, STATUS_OK);
        assert_int_equal(parsed.values.is_split, cases[i].is_split);
        assert_int_equal(parsed.arguments.count, cases[i].n_arguments);
        release(&parsed);
    }
}

static void options_and_arguments_mix(void **state)
{
    (void)state;
    char text[] = "a --alpha 1e-3 - -f text -- ";
    struct parsed parsed = parse(text);
    assert_int_equal(parsed.code, STATUS_OK);
    assert_int_equal(parsed.arguments.count, 2);
    assert_string_equal(parsed.arguments.items[1], "-");
    assert_true(fabs(parsed.values.alpha - 1e-3) < 1e-18);
    assert_string_equal(parsed.values.format, "text");
    release(&parsed);
    char after_end[] = "-- -q --beam";
    parsed = parse(after_end);
    assert_int_equal(parsed.code, STATUS_OK);
    assert_string_equal(parsed.arguments.items[0], "-q");
    assert_false(parsed.values.is_quiet);
    release(&parsed);
}

static void lists_collect_and_words_run_on(void **state)
{
    (void)state;
    char text[] = "-m x -m y -i old -in p q r --model=z last";
    struct parsed parsed = parse(text);
    assert_int_equal(parsed.code, STATUS_OK);
    assert_int_equal(parsed.values.models.count, 3);
    assert_string_equal(parsed.values.models.items[2], "z");
    assert_int_equal(parsed.values.input.count, 3);
    assert_string_equal(parsed.values.input.items[0], "p");
    assert_int_equal(parsed.arguments.count, 1);
    release(&parsed);
}

static void help_stops_the_reading(void **state)
{
    (void)state;
    char long_name[] = "-q --help --nonsense";
    struct parsed parsed = parse(long_name);
    assert_int_equal(parsed.code, STATUS_OK);
    assert_true(parsed.wants_help);
    release(&parsed);
    char letter[] = "-qh";
    parsed = parse(letter);
    assert_true(parsed.wants_help);
    release(&parsed);
}

static void beginnings_stand_for_names_where_allowed(void **state)
{
    (void)state;
    static const struct {
        const char *word, *message;
        enum status code;
    } cases[] = {
        {"--low", "", STATUS_OK},
        {"--quie", "", STATUS_OK},
        {"--beam=7", "", STATUS_OK}, /* a whole name, though "--beam-size" begins with it */
        {"--be=7", "option '--be' can be --beam or --beam-size", STATUS_USAGE},
        {"--=7", "unknown option '--'", STATUS_USAGE},
        {"--lowx", "unknown option '--lowx'", STATUS_USAGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct options_command open = command;
        struct values values = {0};
        struct option_list arguments = {0};
        char text[64];
        char *words[] = {"test", text};
        bool wants_help = false;
        strcpy(text, cases[i].word);
        open.allows_beginnings = true;
        assert_int_equal(options_parse(&open, 2, words, &values, &arguments, &wants_help),
                         cases[i].code);
        if (cases[i].code < 0)
            assert_non_null(strstr(status_message(), cases[i].message));
        options_free(&open, &values, &arguments);
    }
    char closed[] = "--low";
    struct parsed parsed = parse(closed);
    assert_int_equal(parsed.code, STATUS_USAGE);
    release(&parsed);
}

static void wrong_lines_are_explained(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"--beem 3", "unknown option '--beem'; did you mean '--beam'?"},
        {"--low", "unknown option '--low'; did you mean '--lowercase'?"},
        {"--xyzzy=1", "unknown option '--xyzzy'"},
        {"-x", "unknown option '-x'"},
        {"-", ""},
        {"--beam x", "option --beam wants a whole number from 1 to 64, not 'x'"},
        {"--beam 3.5", "option --beam wants a whole number from 1 to 64, not '3.5'"},
        {"-b 65", "option --beam wants a whole number from 1 to 64, not '65'"},
        {"-b -1", "option --beam wants a whole number from 1 to 64, not '-1'"},
        {"-b 99999999999999999999",
         "option --beam wants a whole number from 1 to 64, not '99999999999999999999'"},
        {"--beam=", "option --beam wants a whole number from 1 to 64, not ''"},
        {"--beam", "option --beam wants a value (N)"},
        {"--beam -q", "option --beam wants a value (N), but '-q' follows"},
        {"--alpha nan", "option --alpha wants a number from 0 up, not 'nan'"},
        {"--alpha -2", "option --alpha wants a number from 0 up, not '-2'"},
        {"-f xml", "option --format wants json, text or svg, not 'xml'"},
        {"-f js", "option --format wants json, text or svg, not 'js'"},
        {"--quiet=yes", "option --quiet takes no value, but 'yes' was given"},
        {"--split-digits=maybe", "option --split-digits wants true or false, not 'maybe'"},
        {"--split_digts", "unknown option '--split_digts'; did you mean '--split-digits'?"},
        {"--server", "option --server is not supported yet"},
        {"-s", "option --server is not supported yet"},
        {"a b c", "test: unexpected argument 'c'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
        strcpy(text, cases[i][0]);
        status_set(STATUS_OK, "%s", "");
        struct parsed parsed = parse(text);
        assert_int_equal(parsed.code, cases[i][1][0] == '\0' ? STATUS_OK : STATUS_USAGE);
        assert_string_equal(status_message(), cases[i][1]);
        release(&parsed);
    }
}

static void nearest_name_is_the_likely_one(void **state)
{
    (void)state;
    static const char *const names[] = {"train", "translate", "bleu", "subword", "info", "plan"};
    const size_t n_names = sizeof names / sizeof names[0];
    assert_string_equal(options_nearest("tarin", names, n_names), "train");
    assert_string_equal(options_nearest("translte", names, n_names), "translate");
    assert_string_equal(options_nearest("trans", names, n_names), "translate");
    assert_string_equal(options_nearest("belu", names, n_names), "bleu");
    assert_null(options_nearest("server", names, n_names));
    assert_null(options_nearest("", names, n_names));
    assert_null(options_nearest("x", names, n_names));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_spelling_sets_the_value),
        cmocka_unit_test(underscores_are_dashes_and_names_have_twins),
        cmocka_unit_test(switches_go_on_and_off),
        cmocka_unit_test(options_and_arguments_mix),
        cmocka_unit_test(lists_collect_and_words_run_on),
        cmocka_unit_test(help_stops_the_reading),
        cmocka_unit_test(beginnings_stand_for_names_where_allowed),
        cmocka_unit_test(wrong_lines_are_explained),
        cmocka_unit_test(nearest_name_is_the_likely_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
