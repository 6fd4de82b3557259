/* The line reader on awkward files, plain and compressed, and on a pipe. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "tests/scratch.h"
#include "text/lines.h"

static struct scratch scratch;

/* Compresses as one gzip member, appended to buffer. */
static void append_gzip(struct buffer *buffer, const char *bytes, size_t size)
{
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY),
                     Z_OK);
    const size_t room = deflateBound(&stream, size) + 64;
    assert_int_equal(buffer_reserve(buffer, room), STATUS_OK);
    stream.next_in = (unsigned char *)(uintptr_t)bytes;
    stream.avail_in = (unsigned)size;
    stream.next_out = (unsigned char *)buffer->data + buffer->size;
    stream.avail_out = (unsigned)room;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    buffer->size += room - stream.avail_out;
    deflateEnd(&stream);
}

/* Reads all lines, checks their numbers and joins them with '|'. */
static enum status read_all(const char *path, struct buffer *joined, struct lines_counts *counts)
{
    struct lines *lines = NULL;
    enum status status = lines_open(&lines, path);
    int64_t number = 0;
    for (struct line line = {0}; status == STATUS_OK;) {
        status = lines_next(lines, &line);
        if (status < 0 || !line.bytes)
            break;
        assert_int_equal(line.number, ++number);
        assert_int_equal(line.bytes[line.size], '\0');
        assert_int_equal(buffer_append(joined, line.bytes, line.size), STATUS_OK);
        assert_int_equal(buffer_append_string(joined, "|"), STATUS_OK);
    }
    if (lines && counts)
        *counts = *lines_so_far(lines);
    lines_close(lines);
    return status;
}

static void text_reads_as(const char *bytes, size_t size, const char *expected,
                          struct lines_counts *counts)
{
    struct buffer joined = {0}, zipped = {0};
    assert_int_equal(buffer_append(&joined, "", 0), STATUS_OK);
    assert_int_equal(read_all(scratch_write(&scratch, "text", bytes, size), &joined, counts),
                     STATUS_OK);
    assert_string_equal(joined.data, expected);
    append_gzip(&zipped, bytes, size);
    buffer_clear(&joined);
    assert_int_equal(
        read_all(scratch_write(&scratch, "text.gz", zipped.data, zipped.size), &joined, NULL),
        STATUS_OK);
    assert_string_equal(joined.data, expected);
    buffer_free(&joined);
    buffer_free(&zipped);
}

#define READS_AS(bytes, expected, counts) text_reads_as(bytes, sizeof bytes - 1, expected, counts)

static void keeps_every_line(void **state)
{
    (void)state;
    struct lines_counts counts;
    READS_AS("", "", &counts);
    assert_int_equal(counts.lines, 0);
    READS_AS("\n", "|", &counts);
    assert_int_equal(counts.lines, 1);
    READS_AS("x", "x|", &counts);
    READS_AS("a\n\n\nb", "a|||b|", &counts);
    assert_int_equal(counts.lines, 4);
    assert_int_equal(counts.empty.count, 2);
    assert_int_equal(counts.empty.first, 2);
}

static void only_newline_ends_a_line(void **state)
{
    (void)state;
    struct lines_counts counts;
    READS_AS("a\rb\n", "a\rb|", &counts);
    assert_int_equal(counts.carriage_return.count, 0);
    READS_AS("a\xE2\x80\xA8"
             "b\xC2\x85"
             "c\fd\ve\n",
             "a\xE2\x80\xA8"
             "b\xC2\x85"
             "c\fd\ve|",
             &counts);
    assert_int_equal(counts.lines, 1);
    READS_AS("a\r\n\r\nb\r\r\nc\r", "a||b\r|c\r|", &counts);
    assert_int_equal(counts.carriage_return.count, 3);
    assert_int_equal(counts.carriage_return.first, 1);
    assert_int_equal(counts.empty.count, 1);
}

static void repairs_and_counts(void **state)
{
    (void)state;
    struct lines_counts counts;
    READS_AS("\xEF\xBB\xBF"
             "a\n\xEF\xBB\xBF"
             "b\n",
             "a|\xEF\xBB\xBF"
             "b|",
             &counts);
    assert_int_equal(counts.byte_order_mark.count, 1);
    READS_AS("ok\n\0x\0\0\n\xC3(\xED\xA0\x80\n",
             "ok| x  |\xEF\xBF\xBD(\xEF\xBF\xBD\xEF\xBF\xBD"
             "\xEF\xBF\xBD|",
             &counts);
    assert_int_equal(counts.nul.count, 1);
    assert_int_equal(counts.nul.first, 2);
    assert_int_equal(counts.bad_utf8.count, 1);
    assert_int_equal(counts.bad_utf8.first, 3);
    struct buffer text = {0};
    assert_int_equal(lines_describe(&counts, "f.txt", &text), STATUS_OK);
    assert_string_equal(
        text.data, "f.txt: invalid UTF-8 in 1 line (first: 3), NUL bytes in 1 line (first: 2)");
    buffer_free(&text);
}

/* Sizes round the block of 64 KiB, so that every split of a line over reads occurs. */
static void long_lines_cross_blocks(void **state)
{
    (void)state;
    for (size_t size = (1 << 16) - 3; size < (1 << 16) + 3; size++) {
        char *text = malloc(size + 8);
        char *expected = malloc(size + 8);
        memset(text, 'a', size);
        memcpy(text + size, "\r\nz\xC3\xA4\n", 7);
        memset(expected, 'a', size);
        memcpy(expected + size, "|z\xC3\xA4|", 6);
        text_reads_as(text, size + 6, expected, NULL);
        free(text);
        free(expected);
    }
}

static void gzip_members_and_padding(void **state)
{
    (void)state;
    struct buffer zipped = {0}, joined = {0};
    append_gzip(&zipped, "a\nb", 3);
    append_gzip(&zipped, "c\nd\n", 4);
    assert_int_equal(buffer_append(&zipped, "\0\0\0", 3), STATUS_OK);
    const char *path = scratch_write(&scratch, "two.gz", zipped.data, zipped.size);
    assert_int_equal(read_all(path, &joined, NULL), STATUS_OK);
    assert_string_equal(joined.data, "a|bc|d|");
    buffer_free(&zipped);
    buffer_free(&joined);
}

/* Cut at every byte, a .gz never reads as complete. */
static void cut_gzip_is_an_error(void **state)
{
    (void)state;
    struct buffer zipped = {0}, joined = {0};
    append_gzip(&zipped, "first line\nsecond line\n", 23);
    for (size_t size = 2; size < zipped.size; size++) {
        const char *path = scratch_write(&scratch, "cut.gz", zipped.data, size);
        assert_int_equal(read_all(path, &joined, NULL), STATUS_FORMAT);
        assert_non_null(strstr(status_message(), "cut.gz"));
    }
    zipped.data[zipped.size - 6] ^= 1; /* in the checksum */
    const char *path = scratch_write(&scratch, "bad.gz", zipped.data, zipped.size);
    buffer_clear(&joined);
    assert_int_equal(read_all(path, &joined, NULL), STATUS_FORMAT);
    assert_string_equal(joined.data, "first line|second line|");
    zipped.data[zipped.size - 6] ^= 1;
    assert_int_equal(buffer_append_string(&zipped, "junk"), STATUS_OK);
    path = scratch_write(&scratch, "junk.gz", zipped.data, zipped.size);
    assert_int_equal(read_all(path, &joined, NULL), STATUS_FORMAT);
    buffer_free(&zipped);
    buffer_free(&joined);
}

static void missing_files_are_errors(void **state)
{
    (void)state;
    struct buffer joined = {0};
    assert_int_equal(read_all(scratch_path(&scratch, "none"), &joined, NULL), STATUS_IO);
    assert_int_equal(read_all(scratch.directory, &joined, NULL), STATUS_IO);
    buffer_free(&joined);
}

static void limit_is_exact(void **state)
{
    (void)state;
    for (int over = 0; over < 2; over++) {
        struct lines *lines = NULL;
        struct line line;
        const char *text = over ? "ok\n12345678901\nrest\n" : "ok\n1234567890\nrest\n";
        assert_int_equal(lines_open(&lines, scratch_write(&scratch, "limit", text, strlen(text))),
                         STATUS_OK);
        lines_set_limit(lines, 10);
        assert_int_equal(lines_next(lines, &line), STATUS_OK);
        assert_string_equal(line.bytes, "ok");
        assert_int_equal(lines_next(lines, &line), over ? STATUS_FORMAT : STATUS_OK);
        if (over)
            assert_non_null(strstr(status_message(), "line 2 is longer than the 10 bytes"));
        lines_close(lines);
    }
}

/* A line is there as soon as its end is, although the pipe stays open. */
static void a_pipe_blocks_only_without_a_line(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    const int kept = dup(STDIN_FILENO);
    dup2(ends[0], STDIN_FILENO);
    struct lines *lines = NULL;
    struct line line;
    assert_int_equal(lines_open(&lines, "-"), STATUS_OK);
    assert_true(lines_would_block(lines));
    assert_int_equal(write(ends[1], "one\ntw", 6), 6);
    assert_false(lines_would_block(lines));
    assert_int_equal(lines_next(lines, &line), STATUS_OK);
    assert_string_equal(line.bytes, "one");
    assert_true(lines_would_block(lines));
    assert_int_equal(write(ends[1], "o\n", 2), 2);
    assert_false(lines_would_block(lines));
    assert_int_equal(lines_next(lines, &line), STATUS_OK);
    assert_string_equal(line.bytes, "two");
    close(ends[1]);
    assert_false(lines_would_block(lines));
    assert_int_equal(lines_next(lines, &line), STATUS_OK);
    assert_null(line.bytes);
    lines_close(lines);
    dup2(kept, STDIN_FILENO);
    close(kept);
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_every_line),
        cmocka_unit_test(only_newline_ends_a_line),
        cmocka_unit_test(repairs_and_counts),
        cmocka_unit_test(long_lines_cross_blocks),
        cmocka_unit_test(gzip_members_and_padding),
        cmocka_unit_test(cut_gzip_is_an_error),
        cmocka_unit_test(missing_files_are_errors),
        cmocka_unit_test(limit_is_exact),
        cmocka_unit_test(a_pipe_blocks_only_without_a_line),
    };
    scratch_open(&scratch);
    const int failures = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_close(&scratch);
    return failures;
}
