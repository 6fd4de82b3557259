/* The SGML of test sets: what a segment's text is, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "tests/scratch.h"
#include "text/prep/sgml.h"

static struct scratch scratch;

/* Reads all segments and joins them as "document/id@line=text|". */
static enum status read_all(const char *content, struct buffer *joined)
{
    const char *path = scratch_write(&scratch, "set.sgm", content, strlen(content));
    struct sgml *sgml = NULL;
    struct sgml_segment segment = {0};
    enum status status = sgml_open(&sgml, path, "NAME");
    assert_int_equal(buffer_append(joined, "", 0), STATUS_OK);
    while (status == STATUS_OK && (status = sgml_next(sgml, &segment)) == STATUS_OK &&
           segment.text != NULL) {
        assert_int_equal(
            buffer_printf(joined, "%s/%s@%d=", segment.document, segment.id, (int)segment.line),
            STATUS_OK);
        assert_int_equal(buffer_append(joined, segment.text, segment.size), STATUS_OK);
        assert_int_equal(buffer_append(joined, "|", 1), STATUS_OK);
    }
    sgml_close(sgml);
    return status;
}

static void reads_as(const char *content, const char *expected)
{
    struct buffer joined = {0};
    assert_int_equal(read_all(content, &joined), STATUS_OK);
    assert_string_equal(joined.data, expected);
    buffer_free(&joined);
}

static void is_refused(const char *content, const char *message)
{
    struct buffer joined = {0};
    assert_int_equal(read_all(content, &joined), STATUS_FORMAT);
    assert_string_equal(status_message(), message);
    buffer_free(&joined);
}

static void test_segments(void **state)
{
    (void)state;
    reads_as("", "");
    reads_as("<srcset>\n<doc docid=\"d1\" origlang=\"en\">\n<p>\n"
             "<seg id=\"1\">One.</seg>\n<seg id=\"2\"> Two </seg>\n</p>\n</doc>\n"
             "<doc sysid='x' docid='d2'>\n<hl>\n<seg id='1'>Three</seg>\n</hl>\n",
             "d1/1@4=One.|d1/2@5=Two|d2/1@10=Three|");
    reads_as("<seg id=\"1\">no document</seg>", "/1@1=no document|");
    reads_as("<seg >no id</seg>\n<seg>none</seg>\n", "/@1=no id|/@2=none|");
    reads_as("<seg id=\"1\"></seg>\n<seg id=\"2\"> \t </seg>\n", "/1@1=|/2@2=|");
    reads_as("  <SEG ID = \"7\">other case</SEG>\n", "/7@1=other case|");
    reads_as("<segment id=\"1\">not one</segment>\ntext <seg id=\"2\">nor this</seg>\n", "");
    reads_as("<seg docid=\"x\" id=\"3\">attributes</seg>\n", "/3@1=attributes|");
    reads_as("<doc  docid=bare>\n<seg id=4>bare</seg>\n", "bare/4@2=bare|");
}

/* The white space is what Python's \s matches; entities and tags inside stay. */
static void test_text(void **state)
{
    (void)state;
    reads_as("<seg id=\"1\">a  b\tc\r d\xc2\xa0"
             "e\xe2\x80\x89"
             "f\xe3\x80\x80"
             "g\xe2\x80\xa8"
             "h\xc2\x85"
             "i\x1c"
             "j</seg>\r\n",
             "/1@1=a b c d e f g h i j|");
    reads_as("<seg id=\"1\">zero\xe2\x80\x8bwidth \xe1\xa0\x8e is none</seg>",
             "/1@1=zero\xe2\x80\x8bwidth \xe1\xa0\x8e is none|");
    reads_as("<seg id=\"1\">&amp; &lt;b&gt; <i>x</i> 1 < 2 > 0</seg>",
             "/1@1=&amp; &lt;b&gt; <i>x</i> 1 < 2 > 0|");
    reads_as("<seg id=\"1\">up to the last </seg> end </seg> \n",
             "/1@1=up to the last </seg> end|");
    reads_as("<seg id=\"1\">and </seg> what follows \n", "/1@1=and what follows|");
    reads_as("<seg id=\"1\">bad \xff byte</seg>", "/1@1=bad \xef\xbf\xbd byte|");
}

static void test_refused(void **state)
{
    (void)state;
    is_refused("<doc>\n<seg id=\"1\">begins\nends</seg>\n",
               "NAME:2: a segment without </seg> on its line");
    is_refused("<seg id=\"1\"", "NAME:1: a segment without </seg> on its line");
    is_refused("<seg id=\"1\">a</seg><seg id=\"2\">b</seg>\n", "NAME:1: two segments on one line");
}

/* Writes both sides and compares what came out; expected is source, "/" and target. */
static enum status write_pair(const char *source, const char *target, struct buffer *joined)
{
    char paths[2][512];
    snprintf(paths[0], sizeof paths[0], "%s",
             scratch_write(&scratch, "source.sgm", source, strlen(source)));
    snprintf(paths[1], sizeof paths[1], "%s",
             scratch_write(&scratch, "target.sgm", target, strlen(target)));
    FILE *const outputs[2] = {tmpfile(), tmpfile()};
    assert_non_null(outputs[0]);
    assert_non_null(outputs[1]);
    int64_t count = -1;
    const enum status status =
        sgml_write_pair((const char *const[2]){paths[0], paths[1]},
                        (const char *const[2]){"SOURCE", "TARGET"}, outputs, &count);
    int64_t lines = 0;
    for (int i = 0; i < 2; i++) {
        rewind(outputs[i]);
        for (int byte; (byte = getc(outputs[i])) != EOF;) {
            lines += byte == '\n';
            assert_int_equal(buffer_append(joined, &(char){(char)byte}, 1), STATUS_OK);
        }
        fclose(outputs[i]);
        assert_int_equal(buffer_append(joined, "/", 1), STATUS_OK);
    }
    assert_true(status < 0 || lines == 2 * count);
    return status;
}

static void test_pairs(void **state)
{
    (void)state;
    struct buffer joined = {0};
    assert_int_equal(write_pair("<doc docid=\"d\">\n<seg id=\"1\">a</seg>\n<seg id=\"2\">b</seg>\n",
                                "<doc docid=\"d\">\n\n<seg id=\"1\">A</seg>\n<seg>B</seg>\n",
                                &joined),
                     STATUS_OK);
    assert_string_equal(joined.data, "a\nb\n/A\nB\n/");
    buffer_clear(&joined);
    assert_int_equal(write_pair("<seg id=\"1\">a</seg>\n<seg id=\"2\">b</seg>\n",
                                "<seg id=\"1\">A</seg>\n", &joined),
                     STATUS_DATA);
    assert_string_equal(status_message(), "TARGET has 1 segments, SOURCE has more");
    assert_int_equal(write_pair("<seg id=\"1\">a</seg>\n", "<seg id=\"2\">A</seg>\n", &joined),
                     STATUS_DATA);
    assert_string_equal(status_message(), "SOURCE:1 is segment '1' of document '', but TARGET:1 is "
                                          "segment '2' of document ''");
    assert_int_equal(write_pair("<doc docid=\"d\">\n<seg id=\"1\">a</seg>\n",
                                "<doc docid=\"e\033\">\n<seg id=\"1\">A</seg>\n", &joined),
                     STATUS_DATA);
    assert_string_equal(status_message(),
                        "SOURCE:2 is segment '1' of document 'd', but TARGET:2 is "
                        "segment '1' of document 'e?'");
    assert_int_equal(write_pair("nothing\n", "nothing\n", &joined), STATUS_FORMAT);
    buffer_free(&joined);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_segments),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_pairs),
    };
    scratch_open(&scratch);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_close(&scratch);
    return failed;
}
