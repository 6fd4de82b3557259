/* Configuration files as flat lists: what is read, and what is refused on which line. */
#include "model/yaml_settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static enum status read_text(struct yaml_settings *settings, const char *text)
{
    *settings = (struct yaml_settings){0};
    return yaml_settings_read_text(settings, text, strlen(text), "f.yaml");
}

static void check_entry(const struct yaml_entry *entry, const char *key, enum yaml_kind kind,
                        int line, const char *values)
{
    char joined[200] = "";
    for (size_t i = 0; i < entry->n_values; i++)
        snprintf(joined + strlen(joined), sizeof joined - strlen(joined), "%s|", entry->value[i]);
    assert_string_equal(entry->key, key);
    assert_int_equal(entry->kind, kind);
    assert_int_equal(entry->line, line);
    assert_string_equal(joined, values);
}

static void test_reads_a_file_in_order(void **state)
{
    (void)state;
    struct yaml_settings settings;
    assert_int_equal(read_text(&settings, "# a comment\n"
                                          "name: two words # and a comment\n"
                                          "model:\n"
                                          "  encoder: {layers: 3, tie: [a, 'b c', \"d\\u00e9\"]}\n"
                                          "  after:\n"
                                          "    - x\n"
                                          "    - no\n"
                                          "empty:\n"
                                          "list: []\n"
                                          "train.lr: 1e-3\n"),
                     STATUS_OK);
    assert_int_equal(settings.n_entries, 9);
    check_entry(&settings.entry[0], "name", YAML_VALUE, 2, "two words|");
    check_entry(&settings.entry[1], "model", YAML_SECTION, 3, "");
    check_entry(&settings.entry[2], "model.encoder", YAML_SECTION, 4, "");
    check_entry(&settings.entry[3], "model.encoder.layers", YAML_VALUE, 4, "3|");
    check_entry(&settings.entry[4], "model.encoder.tie", YAML_LIST, 4, "a|b c|d\xc3\xa9|");
    check_entry(&settings.entry[5], "model.after", YAML_LIST, 5, "x|no|");
    check_entry(&settings.entry[6], "empty", YAML_VALUE, 8, "|");
    check_entry(&settings.entry[7], "list", YAML_LIST, 9, "");
    check_entry(&settings.entry[8], "train.lr", YAML_VALUE, 10, "1e-3|");
    yaml_settings_free(&settings);
}

static void test_nothing_and_marks_are_fine(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "\n\n",
                                        "# only words\n",
                                        "---\na: 1\n",
                                        "---\na: 1\n...\n",
                                        "\xef\xbb\xbf"
                                        "a: 1\n",
                                        "a: 1\r\nb: 2\r\n"};
    static const size_t n_entries[] = {0, 0, 0, 1, 1, 1, 2};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct yaml_settings settings;
        assert_int_equal(read_text(&settings, texts[i]), STATUS_OK);
        assert_int_equal(settings.n_entries, n_entries[i]);
        yaml_settings_free(&settings);
    }
}

/* A text and the message that refuses it, or its start where libyaml words the rest. */
struct refusal {
    const char *text, *message;
};

static void check_message(const char *start)
{
    char message[200];
    snprintf(message, sizeof message, "%.*s", (int)strlen(start), status_message());
    assert_string_equal(message, start);
    if (start[strlen(start) - 1] != ' ')
        assert_string_equal(status_message(), start);
}

static void test_refuses_with_file_and_line(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {"a: 1\nb: &x 2\n", "f.yaml:2: anchors (&name) are not allowed here"},
        {"a: &x [*x]\n", "f.yaml:1: anchors (&name) are not allowed here"},
        {"a: &x {b: 1}\n", "f.yaml:1: anchors (&name) are not allowed here"},
        {"a: 1\nb: *x\n", "f.yaml:2: aliases (*name) are not allowed here"},
        {"*x : 1\n", "f.yaml:1: aliases (*name) are not allowed here"},
        {"a: !preset big\n", "f.yaml:1: tags (!name) are not allowed here"},
        {"a: !!int 3\n", "f.yaml:1: tags (!name) are not allowed here"},
        {"!!map {a: 1}\n", "f.yaml:1: tags (!name) are not allowed here"},
        {"%TAG ! tag:x,2000:\n---\na: 1\n", "f.yaml:1: tags (!name) are not allowed here"},
        {"a: 1\n---\nb: 2\n", "f.yaml:2: a second document starts here; one is allowed"},
        {"a: 1\nb: 2\na: 3\n", "f.yaml:3: 'a' is given twice; it stands on line 1 already"},
        {"a: {b: 1}\na: {c: 2}\n", "f.yaml:2: 'a' is given twice; it stands on line 1 already"},
        {"a: {b: 1}\na.b: 2\n", "f.yaml:2: 'a.b' is given twice; it stands on line 1 already"},
        {"[a, b]: 1\n", "f.yaml:1: a key must be a single word"},
        {"? {a: 1}\n: 2\n", "f.yaml:1: a key must be a single word"},
        {"a:\n  - [b]\n", "f.yaml:2: a list may hold only single values"},
        {"a: [b, {c: 1}]\n", "f.yaml:1: a list may hold only single values"},
        {"just words\n", "f.yaml:1: a configuration is made of 'key: value' lines"},
        {"- a\n- b\n", "f.yaml:1: a configuration is made of 'key: value' lines"},
        {"a: 1\nb: \"x\\0y\"\n", "f.yaml:2: a value may not hold a NUL character"},
        {"\"\": 1\n", "f.yaml:1: a key is empty or holds a NUL character"},
        {"a: 1\nb: \xff\n", "f.yaml:2: not valid UTF-8"},
        {"a: 1\n\nb: \x07\n", "f.yaml:3: "},
        {"a: 1\n b: 2\n", "f.yaml:2: "},
        {"a: [1, 2\n", "f.yaml:2: "},
        {"a: 1\n\tb: 2\n", "f.yaml:2: "},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct yaml_settings settings;
        assert_int_equal(read_text(&settings, refusals[i].text), STATUS_CONFIG);
        check_message(refusals[i].message);
        yaml_settings_free(&settings);
    }
}

/* A mapping of `depth` levels. */
static enum status read_nested(int depth)
{
    char text[400] = "";
    for (int i = 0; i < depth; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "{a: ");
    snprintf(text + strlen(text), sizeof text - strlen(text), "1");
    for (int i = 0; i < depth; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "}");
    struct yaml_settings settings;
    const enum status status = read_text(&settings, text);
    yaml_settings_free(&settings);
    return status;
}

static void test_depth_is_limited(void **state)
{
    (void)state;
    assert_int_equal(read_nested(YAML_MAX_DEPTH), STATUS_OK);
    assert_int_equal(read_nested(YAML_MAX_DEPTH + 1), STATUS_CONFIG);
    assert_string_equal(status_message(), "f.yaml:1: nested deeper than 16 levels");
}

/* Text that costs a careless reader minutes or gigabytes. */
static void test_floods_end_soon(void **state)
{
    (void)state;
    enum { FLOOD = YAML_MAX_BYTES };
    static const char *const units[] = {"[", "{", "- ", "? ", "[a,", "{a: ", "k: ", "'", "a,"};
    char *text = malloc(FLOOD + 1);
    assert_non_null(text);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        const size_t length = strlen(units[i]);
        size_t size = 0;
        for (; size + length <= FLOOD; size += length)
            memcpy(text + size, units[i], length);
        struct yaml_settings settings = {0};
        assert_int_equal(yaml_settings_read_text(&settings, text, size, "flood"), STATUS_CONFIG);
        yaml_settings_free(&settings);
    }
    free(text);
}

static void test_size_and_number_of_keys_are_limited(void **state)
{
    (void)state;
    char *text = malloc(YAML_MAX_BYTES + 1);
    assert_non_null(text);
    memset(text, '\n', YAML_MAX_BYTES + 1);
    struct yaml_settings settings = {0};
    assert_int_equal(yaml_settings_read_text(&settings, text, YAML_MAX_BYTES, "f"), STATUS_OK);
    yaml_settings_free(&settings);
    assert_int_equal(yaml_settings_read_text(&settings, text, YAML_MAX_BYTES + 1, "f"),
                     STATUS_CONFIG);
    assert_string_equal(status_message(), "f: larger than the 1048576 bytes allowed");
    yaml_settings_free(&settings);
    for (int n = YAML_MAX_ENTRIES; n <= YAML_MAX_ENTRIES + 1; n++) {
        size_t size = 0;
        for (int i = 0; i < n; i++)
            size += (size_t)snprintf(text + size, YAML_MAX_BYTES - size, "k%d: 1\n", i);
        assert_int_equal(yaml_settings_read_text(&settings, text, size, "f"),
                         n > YAML_MAX_ENTRIES ? STATUS_CONFIG : STATUS_OK);
        yaml_settings_free(&settings);
    }
    assert_string_equal(status_message(), "f:4097: more than 4096 keys");
    free(text);
}

static void test_long_keys_are_refused(void **state)
{
    (void)state;
    char text[300];
    struct yaml_settings settings;
    snprintf(text, sizeof text, "a: {%0*d: 1}\n", YAML_KEY_BYTES - 3, 7);
    assert_int_equal(read_text(&settings, text), STATUS_OK);
    yaml_settings_free(&settings);
    snprintf(text, sizeof text, "a: {%0*d: 1}\n", YAML_KEY_BYTES - 2, 7);
    assert_int_equal(read_text(&settings, text), STATUS_CONFIG);
    yaml_settings_free(&settings);
}

/* Every cut of a file and every flipped bit is read or refused, never worse. */
static void test_damaged_files(void **state)
{
    (void)state;
    static const char good[] = "name: \"x\\u00e9\"\nmodel: {dim: 3, tie: [a, b]}\n? list\n: - 'a'\n"
                               "  - |\n    text\n";
    char text[sizeof good];
    struct yaml_settings settings = {0};
    for (size_t size = 0; size < sizeof good; size++) {
        assert_true(yaml_settings_read_text(&settings, good, size, "f") <= STATUS_OK);
        yaml_settings_free(&settings);
    }
    for (size_t bit = 0; bit < 8 * (sizeof good - 1); bit++) {
        memcpy(text, good, sizeof good);
        text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
        const enum status status = yaml_settings_read_text(&settings, text, sizeof good - 1, "f");
        assert_true(status == STATUS_OK || status == STATUS_CONFIG);
        yaml_settings_free(&settings);
    }
}

static void test_command_line_replaces(void **state)
{
    (void)state;
    struct yaml_settings settings;
    assert_int_equal(read_text(&settings, "name: x\nmodel:\n  dim: 3\n  tie: [a]\n"), STATUS_OK);
    assert_int_equal(yaml_settings_override(&settings, "model.dim=4"), STATUS_OK);
    assert_int_equal(yaml_settings_override(&settings, "model.tie=[b, c]"), STATUS_OK);
    assert_int_equal(yaml_settings_override(&settings, "name="), STATUS_OK);
    assert_int_equal(yaml_settings_override(&settings, "train.lr=1e-3"), STATUS_OK);
    assert_int_equal(yaml_settings_override(&settings, "train.lr='a: b=c'"), STATUS_OK);
    assert_int_equal(settings.n_entries, 5);
    check_entry(&settings.entry[0], "name", YAML_VALUE, 0, "|");
    check_entry(&settings.entry[1], "model", YAML_SECTION, 2, "");
    check_entry(&settings.entry[2], "model.dim", YAML_VALUE, 0, "4|");
    check_entry(&settings.entry[3], "model.tie", YAML_LIST, 0, "b|c|");
    check_entry(&settings.entry[4], "train.lr", YAML_VALUE, 0, "a: b=c|");
    assert_string_equal(yaml_entry_place(&settings.entry[2]), "command line");
    assert_ptr_equal(yaml_settings_find(&settings, "model.dim"), &settings.entry[2]);
    assert_null(yaml_settings_find(&settings, "model.di"));
    yaml_settings_free(&settings);
}

static void test_command_line_is_checked(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {"word", "'word' is not of the form section.key=value"},
        {"=3", "'=3' is not of the form section.key=value"},
        {"a.b=x: y", "command line: the value of a.b must be one value or a [list]"},
        {"a.b={c: 1}", "command line: the value of a.b must be one value or a [list]"},
        {"a.b=[c, [d]]", "command line: a list may hold only single values"},
        {"a.b=*x", "command line: aliases (*name) are not allowed here"},
        {"a.b=\xc0\x80", "command line: not valid UTF-8"},
        {"a.b=[c", "command line: "},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct yaml_settings settings = {0};
        assert_int_equal(yaml_settings_override(&settings, refusals[i].text),
                         i < 2 ? STATUS_USAGE : STATUS_CONFIG);
        check_message(refusals[i].message);
        yaml_settings_free(&settings);
    }
}

static void test_missing_file(void **state)
{
    (void)state;
    struct yaml_settings settings = {0};
    assert_int_equal(yaml_settings_read(&settings, "no/such.yaml"), STATUS_IO);
    assert_string_equal(status_message(), "cannot open no/such.yaml: No such file or directory");
    assert_int_equal(yaml_settings_read(&settings, "."), STATUS_IO);
    assert_int_equal(yaml_settings_read(&settings, "/dev/zero"), STATUS_CONFIG);
    yaml_settings_free(&settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_a_file_in_order),
        cmocka_unit_test(test_nothing_and_marks_are_fine),
        cmocka_unit_test(test_refuses_with_file_and_line),
        cmocka_unit_test(test_depth_is_limited),
        cmocka_unit_test(test_floods_end_soon),
        cmocka_unit_test(test_size_and_number_of_keys_are_limited),
        cmocka_unit_test(test_long_keys_are_refused),
        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_command_line_replaces),
        cmocka_unit_test(test_command_line_is_checked),
        cmocka_unit_test(test_missing_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
