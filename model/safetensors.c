/* Types, hashes and the writer of safetensors files. */
#include "model/safetensors.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/buffer.h"
#include "base/file.h"
#include "model/quote.h"
#include "model/safetensors_hash.h"
#include "text/utf8.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "tensors are written as they lie in memory, and the format is little-endian");

static const struct {
    const char *name;
    size_t size;
} types[] = {
    [SAFETENSORS_F32] = {"F32", 4},   [SAFETENSORS_F64] = {"F64", 8},
    [SAFETENSORS_BF16] = {"BF16", 2}, [SAFETENSORS_I8] = {"I8", 1},
    [SAFETENSORS_U8] = {"U8", 1},     [SAFETENSORS_I32] = {"I32", 4},
    [SAFETENSORS_I64] = {"I64", 8},
};

size_t safetensors_type_size(enum safetensors_type type)
{
    return types[type].size;
}

const char *safetensors_type_name(enum safetensors_type type)
{
    return types[type].name;
}

static void add_hash(XXH128_hash_t *sum, XXH128_hash_t part)
{
    sum->low64 += part.low64;
    sum->high64 += part.high64;
}

void safetensors_hash_text(XXH128_hash_t *sum, const char *key, const char *value)
{
    const XXH64_hash_t seed = XXH3_64bits(key, strlen(key));
    add_hash(sum, XXH3_128bits_withSeed(value, strlen(value), seed));
}

void safetensors_hash_shape(XXH128_hash_t *sum, const struct safetensors_tensor *tensor)
{
    char shape[32 * (SAFETENSORS_MAX_RANK + 1)];
    int used = snprintf(shape, sizeof shape, "%s", safetensors_type_name(tensor->type));
    for (int i = 0; i < tensor->rank; i++)
        used += snprintf(shape + used, sizeof shape - (size_t)used, ",%" PRId64, tensor->dim[i]);
    const XXH64_hash_t seed = XXH3_64bits(shape, (size_t)used);
    add_hash(sum, XXH3_128bits_withSeed(tensor->name, strlen(tensor->name), seed));
}

void safetensors_hash_write(XXH128_hash_t hash, char hex[SAFETENSORS_HEX_BYTES])
{
    snprintf(hex, SAFETENSORS_HEX_BYTES, "%016" PRIx64 "%016" PRIx64, hash.high64, hash.low64);
}

static int append_piece(const char *bytes, size_t size, void *buffer)
{
    return buffer_append(buffer, bytes, size) < 0 ? -1 : 0;
}

/* Appends before, then a text as a JSON string, then after. */
static enum status append_json(struct buffer *json, const char *before, const char *text,
                               const char *after)
{
    char quoted[QUOTE_BYTES];
    if (utf8_valid_prefix(text, strlen(text)) < strlen(text))
        return status_set(STATUS_FORMAT, "'%s' cannot be stored: it is not UTF-8",
                          quote(text, quoted));
    enum status status = buffer_append_string(json, before);
    json_t *string = status == STATUS_OK ? json_string(text) : NULL;
    if (!string)
        return status_set(STATUS_MEMORY, "no memory for the header of a model file");
    if (json_dump_callback(string, append_piece, json, JSON_ENCODE_ANY | JSON_COMPACT) != 0)
        status = status_set(STATUS_MEMORY, "no memory for the header of a model file");
    json_decref(string);
    return status < 0 ? status : buffer_append_string(json, after);
}

/* What a file is to hold. */
struct contents {
    const struct safetensors_tensor *tensor; /* [n_tensors] */
    size_t n_tensors;
    const struct safetensors_text *metadata; /* [n_metadata] */
    size_t n_metadata;
    XXH128_hash_t *hash; /* [n_tensors] owned; zero until the data was seen */
};

/* The text of the metadata's own key: {"":"<hex>","name":"<hex>",...}. */
static enum status append_hashes(struct buffer *json, const struct contents *contents)
{
    char hex[SAFETENSORS_HEX_BYTES];
    XXH128_hash_t header = {0, 0};
    for (size_t i = 0; i < contents->n_metadata; i++)
        safetensors_hash_text(&header, contents->metadata[i].key, contents->metadata[i].value);
    for (size_t i = 0; i < contents->n_tensors; i++)
        safetensors_hash_shape(&header, &contents->tensor[i]);
    safetensors_hash_write(header, hex);
    enum status status = buffer_printf(json, "{\"\":\"%s\"", hex);
    for (size_t i = 0; i < contents->n_tensors && status == STATUS_OK; i++) {
        safetensors_hash_write(contents->hash[i], hex);
        status = append_json(json, ",", contents->tensor[i].name, ":");
        if (status == STATUS_OK)
            status = buffer_printf(json, "\"%s\"", hex);
    }
    return status < 0 ? status : buffer_append_string(json, "}");
}

static enum status append_metadata(struct buffer *json, const char *hashes,
                                   const struct contents *contents)
{
    enum status status =
        append_json(json, "{\"" SAFETENSORS_METADATA_KEY "\":{\"hash\":", hashes, "");
    for (size_t i = 0; i < contents->n_metadata && status == STATUS_OK; i++) {
        status = append_json(json, ",", contents->metadata[i].key, ":");
        if (status == STATUS_OK)
            status = append_json(json, "", contents->metadata[i].value, "");
    }
    return status < 0 ? status : buffer_append_string(json, "}");
}

static enum status append_tensor(struct buffer *json, const struct safetensors_tensor *tensor,
                                 uint64_t begin)
{
    enum status status = append_json(json, ",", tensor->name, ":{\"dtype\":\"");
    if (status == STATUS_OK)
        status = buffer_printf(json, "%s\",\"shape\":[", safetensors_type_name(tensor->type));
    for (int i = 0; i < tensor->rank && status == STATUS_OK; i++)
        status = buffer_printf(json, "%s%" PRId64, i ? "," : "", tensor->dim[i]);
    return status < 0 ? status
                      : buffer_printf(json, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", begin,
                                      begin + tensor->size);
}

/* Appends the whole header: its length, the JSON, and spaces up to a multiple of 64 bytes. */
static enum status append_header(struct buffer *header, const struct contents *contents)
{
    enum { ALIGNMENT = 64 };
    static const char padding[ALIGNMENT] = "                                "
                                           "                               ";
    uint64_t length = 0;
    uint64_t offset = 0;
    struct buffer hashes = {0};
    enum status status = append_hashes(&hashes, contents);
    if (status == STATUS_OK)
        status = buffer_append(header, &length, sizeof length);
    if (status == STATUS_OK)
        status = append_metadata(header, hashes.data, contents);
    for (size_t i = 0; i < contents->n_tensors && status == STATUS_OK; i++) {
        status = append_tensor(header, &contents->tensor[i], offset);
        offset += contents->tensor[i].size;
    }
    if (status == STATUS_OK)
        status = buffer_append_string(header, "}");
    if (status == STATUS_OK)
        status = buffer_append(header, padding, (ALIGNMENT - header->size % ALIGNMENT) % ALIGNMENT);
    buffer_free(&hashes);
    if (status < 0)
        return status;
    length = header->size - sizeof length;
    memcpy(header->data, &length, sizeof length);
    if (length > SAFETENSORS_MAX_HEADER_BYTES)
        return status_set(STATUS_FORMAT, "a header of %" PRIu64 " bytes is over the limit of %d",
                          length, SAFETENSORS_MAX_HEADER_BYTES);
    return STATUS_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void check_names_differ(const char **name, size_t n)
{
    qsort(name, n, sizeof *name, compare_names);
    for (size_t i = 1; i < n; i++)
        CHECK(strcmp(name[i - 1], name[i]) != 0, "'%s' is written twice", name[i]);
}

/* Aborts on what no caller may ask for. */
static enum status check_contents(const struct contents *contents, bool has_source)
{
    const size_t n_tensors = contents->n_tensors, n_metadata = contents->n_metadata;
    const char **name = calloc(n_tensors + n_metadata + 1, sizeof *name);
    if (!name)
        return status_set(STATUS_MEMORY, "no memory for %zu tensors", n_tensors);
    for (size_t i = 0; i < n_metadata; i++) {
        CHECK(strcmp(contents->metadata[i].key, SAFETENSORS_HASH_KEY) != 0, "the key is taken");
        name[i] = contents->metadata[i].key;
    }
    check_names_differ(name, n_metadata);
    for (size_t i = 0; i < n_tensors; i++) {
        const struct safetensors_tensor *one = &contents->tensor[i];
        CHECK(one->name[0] && strcmp(one->name, SAFETENSORS_METADATA_KEY) != 0,
              "tensor %zu has no name", i);
        CHECK(one->rank >= 0 && one->rank <= SAFETENSORS_MAX_RANK, "%s has rank %d", one->name,
              one->rank);
        uint64_t size = safetensors_type_size(one->type);
        for (int j = 0; j < one->rank; j++)
            CHECK(one->dim[j] >= 0 && !__builtin_mul_overflow(size, (uint64_t)one->dim[j], &size),
                  "%s: dimension %d is %" PRId64, one->name, j, one->dim[j]);
        CHECK(size == one->size && (one->data || has_source || size == 0),
              "%s has %" PRIu64 " bytes, its shape %" PRIu64, one->name, one->size, size);
        name[i] = one->name;
    }
    check_names_differ(name, n_tensors);
    free(name);
    return STATUS_OK;
}

static enum status write_bytes(const struct file_writer *writer, const void *bytes, uint64_t size)
{
    if (size > 0 && fwrite(bytes, 1, size, writer->stream) != size)
        return status_set(STATUS_IO, "cannot write %s: %s", writer->final_path, strerror(errno));
    return STATUS_OK;
}

/* Writes and hashes tensor number index. */
static enum status write_tensor(const struct file_writer *writer, const struct contents *contents,
                                size_t index, const struct safetensors_source *source, char *block,
                                XXH3_state_t *state)
{
    const struct safetensors_tensor *tensor = &contents->tensor[index];
    enum status status = STATUS_OK;
    uint64_t size = 0;
    XXH3_128bits_reset(state);
    for (uint64_t offset = 0; offset < tensor->size && status == STATUS_OK; offset += size) {
        const uint64_t left = tensor->size - offset;
        const char *bytes = tensor->data ? (const char *)tensor->data + offset : block;
        size = left < SAFETENSORS_BLOCK_BYTES ? left : SAFETENSORS_BLOCK_BYTES;
        if (!tensor->data)
            status = source->read(source->context, index, offset, block, size);
        if (status == STATUS_OK)
            XXH3_128bits_update(state, bytes, size);
        if (status == STATUS_OK)
            status = write_bytes(writer, bytes, size);
    }
    contents->hash[index] = XXH3_128bits_digest(state);
    return status;
}

static enum status write_tensors(const struct file_writer *writer, const struct contents *contents,
                                 const struct safetensors_source *source)
{
    char *block = malloc(SAFETENSORS_BLOCK_BYTES);
    XXH3_state_t *state = XXH3_createState();
    enum status status = STATUS_OK;
    if (!block || !state)
        status = status_set(STATUS_MEMORY, "no memory to write %s", writer->final_path);
    for (size_t i = 0; i < contents->n_tensors && status == STATUS_OK; i++)
        status = write_tensor(writer, contents, i, source, block, state);
    free(block);
    XXH3_freeState(state);
    return status;
}

/* Writes the header at the start of the file. */
static enum status write_header(const struct file_writer *writer, const struct contents *contents)
{
    struct buffer header = {0};
    enum status status = append_header(&header, contents);
    if (status == STATUS_OK && fseeko(writer->stream, 0, SEEK_SET) != 0)
        status = status_set(STATUS_IO, "cannot write %s: %s", writer->final_path, strerror(errno));
    if (status == STATUS_OK)
        status = write_bytes(writer, header.data, header.size);
    buffer_free(&header);
    return status;
}

/* The header is written twice: its hashes are known when the data has passed, and take as much room
 * as the zeros before. */
enum status safetensors_write(const char *path, const struct safetensors_tensor *tensor,
                              size_t n_tensors, const struct safetensors_text *metadata,
                              size_t n_metadata, const struct safetensors_source *source)
{
    struct contents contents = {tensor, n_tensors, metadata, n_metadata,
                                calloc(n_tensors + 1, sizeof *contents.hash)};
    struct file_writer writer = {0};
    enum status status = STATUS_OK;
    if (!contents.hash)
        status = status_set(STATUS_MEMORY, "no memory for %zu tensors", n_tensors);
    if (status == STATUS_OK)
        status = check_contents(&contents, source != NULL);
    if (status == STATUS_OK)
        status = file_create(&writer, path);
    if (status == STATUS_OK)
        status = write_header(&writer, &contents);
    if (status == STATUS_OK)
        status = write_tensors(&writer, &contents, source);
    if (status == STATUS_OK)
        status = write_header(&writer, &contents);
    if (status == STATUS_OK)
        status = file_commit(&writer);
    file_discard(&writer);
    free(contents.hash);
    return status;
}
