/* UTF-8 against the Unicode standard: its own examples of maximal subparts, and every code point.
 * */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "text/utf8.h"

#define R "\xEF\xBF\xBD" /* U+FFFD */

static void repair_is(const char *bytes, size_t size, const char *expected, size_t expected_bad)
{
    struct buffer buffer = {0};
    size_t bad = 0;
    assert_int_equal(utf8_repair(&buffer, bytes, size, &bad), STATUS_OK);
    assert_int_equal(buffer.size, strlen(expected));
    assert_memory_equal(buffer.data, expected, buffer.size);
    assert_int_equal(bad, expected_bad);
    assert_int_equal(utf8_valid_prefix(buffer.data, buffer.size), buffer.size);
    buffer_free(&buffer);
}

#define REPAIR_IS(bytes, expected, bad) repair_is(bytes, sizeof bytes - 1, expected, bad)

/* Unicode 15, chapter 3, tables 3-8 to 3-11. */
static void repairs_as_the_standard_shows(void **state)
{
    (void)state;
    REPAIR_IS("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", R R R R R R R R "A", 8);
    REPAIR_IS("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", R R R R R R R R "A", 8);
    REPAIR_IS("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", R R R R R "A" R R "B", 7);
    REPAIR_IS("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", R R R R "A", 4);
}

static void repairs_the_edges(void **state)
{
    (void)state;
    REPAIR_IS("", "", 0);
    REPAIR_IS("plain ascii text, longer than one word", "plain ascii text, longer than one word",
              0);
    REPAIR_IS("12345678\xC3", "12345678" R, 1);
    REPAIR_IS("1234567\xC3\xA4", "1234567\xC3\xA4", 0);
    REPAIR_IS("\xF0\x9F\x98", R, 1);
    REPAIR_IS(R "x", R "x", 0);
    REPAIR_IS("\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF", 0);
    REPAIR_IS("\xF4\x90\x80\x80", R R R R, 4);
}

static void every_code_point_comes_back(void **state)
{
    (void)state;
    for (uint32_t code_point = 0; code_point <= 0x110000; code_point++) {
        char bytes[UTF8_MAX_BYTES];
        const size_t size = utf8_write(bytes, code_point);
        const int has_form =
            code_point <= 0x10FFFF && (code_point < 0xD800 || code_point >= 0xE000);
        size_t offset = 0;
        bool is_valid = false;
        const uint32_t back = utf8_next_checked(bytes, size, &offset, &is_valid);
        assert_true(is_valid);
        assert_int_equal(offset, size);
        assert_int_equal(back, has_form ? code_point : UTF8_REPLACEMENT);
        /* One byte less is never valid, and is a single bad subpart. */
        if (size > 1) {
            offset = 0;
            assert_int_equal(utf8_next_checked(bytes, size - 1, &offset, &is_valid),
                             UTF8_REPLACEMENT);
            assert_false(is_valid);
            assert_int_equal(offset, size - 1);
        }
    }
}

static void encodes_known_bytes(void **state)
{
    (void)state;
    struct buffer buffer = {0};
    const uint32_t text[] = {0x41, 0xE9, 0x20AC, 0x1F600, 0xD800};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(utf8_append(&buffer, text[i]), STATUS_OK);
    assert_string_equal(buffer.data, "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80" R);
    assert_int_equal(utf8_length(buffer.data, buffer.size), 5);
    buffer_free(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repairs_as_the_standard_shows),
        cmocka_unit_test(repairs_the_edges),
        cmocka_unit_test(every_code_point_comes_back),
        cmocka_unit_test(encodes_known_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
