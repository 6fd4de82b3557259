/* Model files: the bytes written, what is read back, and every damage refused. */
#include "model/safetensors.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/file.h"
#include "model/base64.h"

static char directory[64];
static char path[96];

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "%s", "/tmp/mixt-safetensors-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof path, "%s/model.safetensors", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(directory); /* fails when a temporary file was left behind */
}

static void put_file(const void *bytes, size_t size)
{
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(bytes, 1, size, stream), size);
    assert_int_equal(fclose(stream), 0);
}

/* Writes a file of this header and data_size zero bytes. */
static void put_header(const char *header, size_t data_size)
{
    struct buffer bytes = {0};
    const uint64_t length = strlen(header);
    assert_int_equal(buffer_append(&bytes, &length, sizeof length), STATUS_OK);
    assert_int_equal(buffer_append_string(&bytes, header), STATUS_OK);
    for (size_t i = 0; i < data_size; i++)
        assert_int_equal(buffer_append(&bytes, "", 1), STATUS_OK);
    put_file(bytes.data, bytes.size);
    buffer_free(&bytes);
}

static enum status open_and_close(void)
{
    struct safetensors *file = NULL;
    const enum status status = safetensors_open(&file, path);
    assert_int_equal(status == STATUS_OK, file != NULL);
    safetensors_close(file);
    return status;
}

static const float weights[2][3] = {{1, 2, 3}, {4, 5, -6.5f}};
static const int8_t small[1] = {-7};
static const int64_t big[2] = {INT64_MIN, 1};
static const struct safetensors_tensor tensors[] = {
    {"encoder.1/w", SAFETENSORS_F32, 2, {2, 3}, weights, sizeof weights},
    {"none", SAFETENSORS_F64, 3, {0, 5, 2}, NULL, 0},
    {"scalar \"\xc3\xa9\"", SAFETENSORS_I8, 0, {0}, small, sizeof small},
    {"big", SAFETENSORS_I64, 1, {2}, big, sizeof big},
};
enum { N_TENSORS = sizeof tensors / sizeof *tensors };
static const struct safetensors_text texts[] = {
    {"config", "name: x\nquote: \"\\\" \xe4\xb8\xad\n"},
    {"", ""},
};
enum { N_TEXTS = sizeof texts / sizeof *texts };

static void write_sample(void)
{
    assert_int_equal(safetensors_write(path, tensors, N_TENSORS, texts, N_TEXTS, NULL), STATUS_OK);
}

static void test_writes_these_bytes(void **state)
{
    (void)state;
    static const uint8_t values[] = {1, 2, 3, 4, 5, 6, 7, 8};
    const struct safetensors_tensor one = {"t", SAFETENSORS_BF16, 2, {2, 2}, values, sizeof values};
    const struct safetensors_text text = {"k", "v\n"};
    struct buffer bytes = {0};
    assert_int_equal(safetensors_write(path, &one, 1, &text, 1, NULL), STATUS_OK);
    assert_int_equal(file_read(path, 1000, &bytes), STATUS_OK);
    uint64_t length = 0;
    memcpy(&length, bytes.data, sizeof length);
    assert_int_equal((8 + length) % 64, 0);
    assert_int_equal(bytes.size, 8 + length + sizeof values);
    assert_memory_equal(bytes.data + 8 + length, values, sizeof values);
    /* The tensor's hash is what xxhsum -H2 prints for the bytes 01 to 08. */
    static const char start[] = "{\"__metadata__\":{\"hash\":\"{\\\"\\\":\\\"";
    static const char end[] =
        "\\\",\\\"t\\\":\\\"2ab463fddb09a0b83e8675c57268fb02\\\"}\",\"k\":\"v\\n\"},"
        "\"t\":{\"dtype\":\"BF16\",\"shape\":[2,2],\"data_offsets\":[0,8]}}";
    assert_memory_equal(bytes.data + 8, start, sizeof start - 1);
    assert_memory_equal(bytes.data + 8 + sizeof start - 1 + 32, end, sizeof end - 1);
    for (size_t i = 8 + sizeof start - 1 + 32 + sizeof end - 1; i < 8 + length; i++)
        assert_int_equal(bytes.data[i], ' ');
    buffer_free(&bytes);
}

static void test_reads_what_was_written(void **state)
{
    (void)state;
    write_sample();
    struct safetensors *file = NULL;
    assert_int_equal(safetensors_open(&file, path), STATUS_OK);
    assert_int_equal(safetensors_count(file), N_TENSORS);
    for (size_t i = 0; i < N_TENSORS; i++) {
        const struct safetensors_tensor *tensor = safetensors_find(file, tensors[i].name);
        char data[64];
        assert_non_null(tensor);
        assert_ptr_equal(tensor, safetensors_get(file, i));
        assert_string_equal(tensor->name, tensors[i].name);
        assert_int_equal(tensor->type, tensors[i].type);
        assert_int_equal(tensor->rank, tensors[i].rank);
        for (int d = 0; d < tensor->rank; d++)
            assert_int_equal(tensor->dim[d], tensors[i].dim[d]);
        assert_int_equal(tensor->size, tensors[i].size);
        assert_int_equal(safetensors_read(file, tensor, data), STATUS_OK);
        if (tensor->size)
            assert_memory_equal(data, tensors[i].data, tensor->size);
    }
    float row[3];
    const struct safetensors_tensor *w = safetensors_find(file, "encoder.1/w");
    assert_int_equal(safetensors_read_part(file, w, 12, 12, row), STATUS_OK);
    assert_memory_equal(row, weights[1], sizeof row);
    for (size_t i = 0; i < N_TEXTS; i++)
        assert_string_equal(safetensors_metadata(file, texts[i].key), texts[i].value);
    assert_null(safetensors_find(file, "other"));
    assert_null(safetensors_metadata(file, "other"));
    assert_int_equal(safetensors_verify(file), STATUS_OK);
    safetensors_close(file);
}

static void test_empty_file_of_no_tensors(void **state)
{
    (void)state;
    assert_int_equal(safetensors_write(path, NULL, 0, NULL, 0, NULL), STATUS_OK);
    struct safetensors *file = NULL;
    assert_int_equal(safetensors_open(&file, path), STATUS_OK);
    assert_int_equal(safetensors_count(file), 0);
    assert_null(safetensors_find(file, "x"));
    assert_int_equal(safetensors_verify(file), STATUS_OK);
    safetensors_close(file);
}

static void test_equal_contents_give_equal_bytes(void **state)
{
    (void)state;
    struct buffer first = {0}, second = {0};
    write_sample();
    assert_int_equal(file_read(path, 10000, &first), STATUS_OK);
    write_sample();
    assert_int_equal(file_read(path, 10000, &second), STATUS_OK);
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);
    buffer_free(&first);
    buffer_free(&second);
}

enum { LONG_BYTES = 2 * SAFETENSORS_BLOCK_BYTES + 12 };

/* Byte number i of a long tensor. */
static uint8_t long_byte(uint64_t i)
{
    return (uint8_t)(i * 2654435761u >> 13);
}

static enum status read_long(void *context, size_t index, uint64_t offset, void *target,
                             size_t size)
{
    const bool *fails = context;
    assert_int_equal(index, 1);
    assert_in_range(size, 1, SAFETENSORS_BLOCK_BYTES);
    if (*fails && offset > 0)
        return status_set(STATUS_DEVICE, "no more of it");
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)target)[i] = long_byte(offset + i);
    return STATUS_OK;
}

static enum status check_long(void *context, uint64_t offset, const void *bytes, size_t size)
{
    uint64_t *seen = context;
    assert_int_equal(offset, *seen);
    for (size_t i = 0; i < size; i++)
        if (((const uint8_t *)bytes)[i] != long_byte(offset + i))
            return status_set(STATUS_DATA, "byte %zu", i);
    *seen += size;
    return STATUS_OK;
}

static enum status take_anything(void *context, uint64_t offset, const void *bytes, size_t size)
{
    (void)context, (void)offset, (void)bytes, (void)size;
    return STATUS_OK;
}

/* Tensors that are given and taken in blocks are the file of those that lie in memory. */
static void test_blocks(void **state)
{
    (void)state;
    static uint8_t memory[LONG_BYTES];
    for (size_t i = 0; i < LONG_BYTES; i++)
        memory[i] = long_byte(i);
    struct safetensors_tensor two[2] = {
        tensors[0], {"long", SAFETENSORS_F32, 1, {LONG_BYTES / 4}, memory, LONG_BYTES}};
    struct buffer whole = {0}, pieces = {0};
    assert_int_equal(safetensors_write(path, two, 2, texts, N_TEXTS, NULL), STATUS_OK);
    assert_int_equal(file_read(path, 2 * LONG_BYTES, &whole), STATUS_OK);
    two[1].data = NULL;
    bool fails = true;
    const struct safetensors_source source = {read_long, &fails};
    assert_int_equal(safetensors_write(path, two, 2, texts, N_TEXTS, &source), STATUS_DEVICE);
    fails = false;
    assert_int_equal(safetensors_write(path, two, 2, texts, N_TEXTS, &source), STATUS_OK);
    assert_int_equal(file_read(path, 2 * LONG_BYTES, &pieces), STATUS_OK);
    assert_int_equal(whole.size, pieces.size);
    assert_memory_equal(whole.data, pieces.data, whole.size);
    uint64_t seen = 0;
    struct safetensors *file = NULL;
    const struct safetensors_sink sink = {check_long, &seen};
    assert_int_equal(safetensors_open(&file, path), STATUS_OK);
    const struct safetensors_tensor *found = safetensors_find(file, "long");
    assert_int_equal(safetensors_read_blocks(file, found, &sink), STATUS_OK);
    assert_int_equal(seen, LONG_BYTES);
    safetensors_close(file);
    pieces.data[pieces.size - LONG_BYTES - sizeof weights] ^= 1; /* the other tensor's */
    put_file(pieces.data, pieces.size);
    assert_int_equal(safetensors_open(&file, path), STATUS_OK);
    seen = 0;
    assert_int_equal(safetensors_read_blocks(file, safetensors_find(file, "long"), &sink),
                     STATUS_OK);
    safetensors_close(file);
    pieces.data[pieces.size - 1] ^= 1;
    put_file(pieces.data, pieces.size);
    assert_int_equal(safetensors_open(&file, path), STATUS_OK);
    const struct safetensors_sink nobody = {take_anything, NULL};
    assert_int_equal(safetensors_read_blocks(file, safetensors_find(file, "long"), &nobody),
                     STATUS_FORMAT);
    safetensors_close(file);
    buffer_free(&whole);
    buffer_free(&pieces);
}

static void test_write_errors_leave_the_old_file(void **state)
{
    (void)state;
    const struct safetensors_text bad = {"config", "\xff"};
    put_file("old", 3);
    assert_int_equal(safetensors_write(path, tensors, N_TENSORS, &bad, 1, NULL), STATUS_FORMAT);
    assert_int_equal(safetensors_write("/no/such/file", tensors, N_TENSORS, texts, N_TEXTS, NULL),
                     STATUS_IO);
    struct buffer bytes = {0};
    assert_int_equal(file_read(path, 10, &bytes), STATUS_OK);
    assert_string_equal(bytes.data, "old");
    buffer_free(&bytes);
}

/* Header text with zero bytes of data behind it, and the end of its message. */
struct refusal {
    const char *header;
    size_t data_size;
    const char *message;
};

#define T(dtype, shape, offsets)                                                                   \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void test_refuses_hostile_headers(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {"[]", 0, "header, byte 0: not the start of an object"},
        {" {}", 0, "header, byte 0: not the start of an object"},
        {"{}x", 0, "header, byte 2: something stands behind the end"},
        {"{}\n", 0, "header, byte 2: something stands behind the end"},
        {"{\"a\":" T("U8", "[1]", "[0,1]"), 1, "header, byte 52: a comma or '}' is missing"},
        {"{\"a\" " T("U8", "[1]", "[0,1]") "}", 1, "header, byte 5: a colon is missing"},
        {"{\"a\":" T("U8", "[1]", "[0,1]") ",}", 1, "header, byte 53: a name is missing"},
        {"{,}", 0, "header, byte 1: a name is missing"},
        {"{}", 1, "1 bytes from byte 10 on belong to no tensor"},
        {"{\"a\":" T("U8", "[1]", "[0,1]") "}", 2, "1 bytes from byte 62 on belong to no tensor"},
        {"{\"a\":" T("U8", "[1]", "[1,2]") "}", 2, "tensor 'a': there is a hole before its data"},
        {"{\"a\":" T("U8", "[2]", "[0,2]") ",\"b\":" T("U8", "[1]", "[1,2]") "}", 2,
         "tensor 'b': its data overlaps another tensor's"},
        {"{\"a\":" T("U8", "[1]", "[0,1]") ",\"a\":" T("U8", "[1]", "[1,2]") "}", 2,
         "tensor 'a': it is given twice"},
        {"{\"a\":" T("U8", "[2]", "[0,2]") "}", 1,
         "tensor 'a': its data lies beyond the end of the file"},
        {"{\"a\":" T("U8", "[1]", "[1,0]") "}", 1, "tensor 'a': its data_offsets are no range"},
        {"{\"a\":" T("U8", "[1]", "[-1,0]") "}", 1, "tensor 'a': its data_offsets are no range"},
        {"{\"a\":" T("U8", "[1]", "[0]") "}", 1, "tensor 'a': its data_offsets are no range"},
        {"{\"a\":" T("U8", "[1]", "[0,1.0]") "}", 1, "tensor 'a': its data_offsets are no range"},
        {"{\"a\":" T("F32", "[1]", "[0,1]") "}", 1,
         "tensor 'a': its shape and its data_offsets differ in size"},
        {"{\"a\":" T("F99", "[1]", "[0,1]") "}", 1, "tensor 'a': its dtype is unknown"},
        {"{\"a\":" T("U8", "[-1]", "[0,1]") "}", 1,
         "tensor 'a': a dimension is no whole number from 0"},
        {"{\"a\":" T("U8", "[1e0]", "[0,1]") "}", 1,
         "tensor 'a': a dimension is no whole number from 0"},
        {"{\"a\":" T("U8", "[4294967296,4294967296]", "[0,1]") "}", 1,
         "tensor 'a': its shape is too large"},
        {"{\"a\":" T("F32", "[9223372036854775807]", "[0,1]") "}", 1,
         "tensor 'a': its shape is too large"},
        {"{\"a\":" T("U8", "[1,1,1,1,1]", "[0,1]") "}", 1,
         "tensor 'a': it has more dimensions than are supported"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1,
         "tensor 'a': its entry must be dtype, shape and data_offsets"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":0}}", 1,
         "tensor 'a': its entry must be dtype, shape and data_offsets"},
        {"{\"a\":3}", 0, "tensor 'a': its entry must be dtype, shape and data_offsets"},
        {"{\"\":" T("U8", "[1]", "[0,1]") "}", 1, "tensor '': it has no name"},
        {"{\"__metadata__\":[]}", 0, "__metadata__ is no object"},
        {"{\"__metadata__\":{\"k\":1}}", 0, "__metadata__ 'k' is no text"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__ is given twice"},
        {"{\"__metadata__\":{\"hash\":\"\"}}", 0, "hashes, byte 0: not the start of an object"},
        {"{\"__metadata__\":{\"hash\":\"{\\\"b\\\":\\\"\\\"}\"}}", 0,
         "tensor 'b': there is a hash of it, but no data"},
        {"{\"__metadata__\":{\"hash\":\"{\\\"\\\":\\\"0\\\"}\"}}", 0,
         "tensor '': its hash is no 32 digits"},
        {"{\"__metadata__\":{\"hash\":\"{}\"}}", 0,
         "the header is damaged: its hash is 00000000000000000000000000000000, not ''"},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        char expected[300];
        put_header(refusals[i].header, refusals[i].data_size);
        assert_int_equal(open_and_close(), STATUS_FORMAT);
        snprintf(expected, sizeof expected, "%s: %s", path, refusals[i].message);
        assert_string_equal(status_message(), expected);
    }
}

/* What jansson refuses, in its own words. */
static void test_refuses_bad_json(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "{\"a",
        "{\"a\":",
        "{\"a\\u0000b\":{}}",
        "{\"\xff\":{}}",
        "{\"a\":{}",
        "{\"a\":{]}",
        "{\"a\":{\"x\":1,\"x\":2}}",
        "{\"a\":nul}",
        "{\"a\":[1e9999]}",
        "{\"a\":99999999999999999999}",
    };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        put_header(headers[i], 0);
        assert_int_equal(open_and_close(), STATUS_FORMAT);
    }
    struct buffer deep = {0};
    assert_int_equal(buffer_append_string(&deep, "{\"a\":"), STATUS_OK);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(buffer_append_string(&deep, "["), STATUS_OK);
    put_header(deep.data, 0);
    assert_int_equal(open_and_close(), STATUS_FORMAT);
    buffer_free(&deep);
}

static void test_refuses_wrong_header_lengths(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {0,         1,         3,          100000000,
                                       100000001, INT64_MAX, UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char bytes[10] = "12345678{}";
        memcpy(bytes, &lengths[i], 8);
        put_file(bytes, sizeof bytes);
        assert_int_equal(open_and_close(), STATUS_FORMAT);
        assert_non_null(strstr(status_message(), "byte 0 asks for a header of"));
    }
}

static void test_accepts_other_writers(void **state)
{
    (void)state;
    put_header("{\t\"b\" : " T("U8", "[ 1 ]", "[1,2]") " ,\n \"a\":" T("U8", "[]", "[0,1]") "}   ",
               2);
    struct safetensors *file = NULL;
    assert_int_equal(safetensors_open(&file, path), STATUS_OK);
    assert_string_equal(safetensors_get(file, 0)->name, "a");
    assert_string_equal(safetensors_get(file, 1)->name, "b");
    char byte = 1;
    assert_int_equal(safetensors_read(file, safetensors_find(file, "b"), &byte), STATUS_OK);
    assert_int_equal(byte, 0);
    assert_null(safetensors_metadata(file, "k"));
    assert_int_equal(safetensors_verify(file), STATUS_FORMAT); /* it has no hashes */
    safetensors_close(file);
}

static void test_what_is_no_file(void **state)
{
    (void)state;
    struct safetensors *file = NULL;
    assert_int_equal(safetensors_open(&file, "no/such/file"), STATUS_IO);
    assert_int_equal(safetensors_open(&file, directory), STATUS_IO);
    assert_int_equal(safetensors_open(&file, "/dev/zero"), STATUS_IO);
    char pipe_path[128];
    snprintf(pipe_path, sizeof pipe_path, "%s/pipe", directory);
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    assert_int_equal(safetensors_open(&file, pipe_path), STATUS_IO);
    assert_int_equal(unlink(pipe_path), 0);
    assert_null(file);
}

static enum status open_and_verify(void)
{
    struct safetensors *file = NULL;
    enum status status = safetensors_open(&file, path);
    if (status == STATUS_OK)
        status = safetensors_verify(file);
    safetensors_close(file);
    return status;
}

static void test_every_cut_is_seen(void **state)
{
    (void)state;
    struct buffer bytes = {0};
    write_sample();
    assert_int_equal(file_read(path, 10000, &bytes), STATUS_OK);
    for (size_t size = bytes.size; size-- > 0;) {
        assert_int_equal(truncate(path, (off_t)size), 0);
        assert_int_equal(open_and_close(), STATUS_FORMAT);
    }
    put_file(bytes.data, bytes.size + 1); /* the buffer's spare byte */
    assert_int_equal(open_and_close(), STATUS_FORMAT);
    buffer_free(&bytes);
}

static void test_every_flipped_bit_is_seen(void **state)
{
    (void)state;
    struct buffer bytes = {0};
    write_sample();
    assert_int_equal(file_read(path, 10000, &bytes), STATUS_OK);
    const int descriptor = open(path, O_WRONLY);
    assert_true(descriptor >= 0);
    for (size_t bit = 0; bit < 8 * bytes.size; bit++) {
        const char *byte = &bytes.data[bit / 8];
        const char flipped = (char)(*byte ^ 1 << bit % 8);
        assert_int_equal(pwrite(descriptor, &flipped, 1, (off_t)(bit / 8)), 1);
        if (open_and_verify() != STATUS_FORMAT)
            fail_msg("bit %zu of byte %zu flipped, and nobody saw it", bit % 8, bit / 8);
        assert_int_equal(pwrite(descriptor, byte, 1, (off_t)(bit / 8)), 1);
    }
    assert_int_equal(open_and_verify(), STATUS_OK);
    assert_int_equal(close(descriptor), 0);
    buffer_free(&bytes);
}

static void test_damage_names_the_tensor(void **state)
{
    (void)state;
    struct buffer bytes = {0};
    write_sample();
    assert_int_equal(file_read(path, 10000, &bytes), STATUS_OK);
    bytes.data[bytes.size - 1] ^= 1;
    put_file(bytes.data, bytes.size);
    struct safetensors *file = NULL;
    assert_int_equal(safetensors_open(&file, path), STATUS_OK);
    int64_t target[6];
    assert_int_equal(safetensors_read(file, safetensors_find(file, "encoder.1/w"), target),
                     STATUS_OK);
    assert_int_equal(safetensors_read(file, safetensors_find(file, "big"), target), STATUS_FORMAT);
    assert_non_null(strstr(status_message(), "tensor 'big': its data is damaged"));
    assert_int_equal(truncate(path, (off_t)bytes.size - 8), 0); /* while it is open */
    assert_int_equal(safetensors_read(file, safetensors_find(file, "big"), target), STATUS_FORMAT);
    assert_non_null(strstr(status_message(), "cut at byte"));
    safetensors_close(file);
    buffer_free(&bytes);
}

static void check_many(size_t n, double *seconds)
{
    struct buffer header = {0};
    assert_int_equal(buffer_append_string(&header, "{"), STATUS_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(buffer_printf(&header, "%s\"%zu\":" T("U8", "[1]", "[%zu,%zu]"),
                                       i ? "," : "", i, i, i + 1),
                         STATUS_OK);
    assert_int_equal(buffer_append_string(&header, "}"), STATUS_OK);
    put_header(header.data, n);
    buffer_free(&header);
    const double start = clock_seconds();
    assert_int_equal(open_and_close(), STATUS_OK);
    *seconds = clock_seconds() - start;
}

/* Ten times the tensors may take ten times the time, with room for a busy machine; not a hundred.
 * */
static void test_many_tensors_in_linear_time(void **state)
{
    (void)state;
    double few = 0, many = 0;
    check_many(10000, &few);
    check_many(100000, &many);
    print_message("10,000 tensors: %.3f s, 100,000: %.3f s\n", few, many);
    assert_true(many < 40 * few + 1);
}

static void test_base64(void **state)
{
    (void)state;
    /* RFC 4648, section 10, and bytes that need both special letters */
    static const char *const pairs[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xfb\xff\xbf", "+/+/"},
    };
    static const char *const bad[] = {"Z",    "Zg=",  "Zg",       "Zh==",  "Zm9=", "====",
                                      "Z===", "Zm9 ", "Zg==Zg==", "Zm\n9", "=m9v", "Zm-_"};
    struct buffer buffer = {0};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        buffer_clear(&buffer);
        assert_int_equal(base64_encode(pairs[i][0], strlen(pairs[i][0]), &buffer), STATUS_OK);
        assert_string_equal(buffer.data, pairs[i][1]);
        buffer_clear(&buffer);
        assert_int_equal(base64_decode(pairs[i][1], strlen(pairs[i][1]), &buffer), STATUS_OK);
        assert_string_equal(buffer.data, pairs[i][0]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        buffer_clear(&buffer);
        assert_int_equal(base64_decode(bad[i], strlen(bad[i]), &buffer), STATUS_FORMAT);
        assert_int_equal(buffer.size, 0);
    }
    char bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    struct buffer text = {0};
    buffer_clear(&buffer);
    assert_int_equal(base64_encode(bytes, sizeof bytes, &text), STATUS_OK);
    assert_int_equal(base64_decode(text.data, text.size, &buffer), STATUS_OK);
    assert_int_equal(buffer.size, sizeof bytes);
    assert_memory_equal(buffer.data, bytes, sizeof bytes);
    buffer_free(&text);
    buffer_free(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_writes_these_bytes),
        cmocka_unit_test(test_reads_what_was_written),
        cmocka_unit_test(test_empty_file_of_no_tensors),
        cmocka_unit_test(test_equal_contents_give_equal_bytes),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_write_errors_leave_the_old_file),
        cmocka_unit_test(test_refuses_hostile_headers),
        cmocka_unit_test(test_refuses_bad_json),
        cmocka_unit_test(test_refuses_wrong_header_lengths),
        cmocka_unit_test(test_accepts_other_writers),
        cmocka_unit_test(test_what_is_no_file),
        cmocka_unit_test(test_every_cut_is_seen),
        cmocka_unit_test(test_every_flipped_bit_is_seen),
        cmocka_unit_test(test_damage_names_the_tensor),
        cmocka_unit_test(test_many_tensors_in_linear_time),
        cmocka_unit_test(test_base64),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
