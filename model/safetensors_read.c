/* The reader of safetensors files. Nothing in a header is believed before it is checked against the
 * size of the file; time and memory are linear in the header. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "model/members.h"
#include "model/quote.h"
#include "model/safetensors.h"
#include "model/safetensors_hash.h"

enum { LENGTH_BYTES = 8 }; /* of the number before the header */

struct entry {
    struct safetensors_tensor tensor; /* first, so that a tensor of the file is its entry */
    uint64_t begin;                   /* of the data */
    char hash[SAFETENSORS_HEX_BYTES]; /* "" = none */
};

struct safetensors {
    char *path;
    int descriptor;
    const char *mapping; /* owned; of the whole file, NULL before the first safetensors_map() */
    uint64_t data_start; /* in the file */
    uint64_t data_size;
    struct entry *entry; /* [n] by begin */
    size_t n;
    size_t capacity;
    uint32_t *slot; /* [n_slots] 1 + index of an entry, 0 = free; by hash of the name */
    size_t n_slots; /* a power of two, at least twice n */
    json_t *metadata;
    bool is_hashed;
};

static enum status tensor_error(const struct safetensors *file, const char *name, const char *what)
{
    char quoted[QUOTE_BYTES];
    return status_set(STATUS_FORMAT, "%s: tensor '%s': %s", file->path, quote(name, quoted), what);
}

static bool parse_type(const json_t *json, enum safetensors_type *type)
{
    const char *text = json_string_value(json);
    for (int i = SAFETENSORS_F32; text && i <= SAFETENSORS_I64; i++) {
        *type = (enum safetensors_type)i;
        if (strcmp(text, safetensors_type_name(*type)) == 0)
            return true;
    }
    return false;
}

/* A whole number >= 0 of an array. */
static bool parse_size(const json_t *array, size_t index, int64_t *value)
{
    const json_t *number = json_array_get(array, index);
    *value = json_integer_value(number);
    return json_is_integer(number) && *value >= 0;
}

/* Reads {"dtype", "shape", "data_offsets"}; NULL when good, else what is wrong. */
static const char *parse_tensor(const json_t *json, uint64_t data_size, struct entry *entry)
{
    struct safetensors_tensor *tensor = &entry->tensor;
    const json_t *shape = json_object_get(json, "shape");
    const json_t *offsets = json_object_get(json, "data_offsets");
    if (json_object_size(json) != 3 || !json_is_array(shape) || !json_is_array(offsets))
        return "its entry must be dtype, shape and data_offsets";
    if (!parse_type(json_object_get(json, "dtype"), &tensor->type))
        return "its dtype is unknown";
    if (json_array_size(shape) > SAFETENSORS_MAX_RANK)
        return "it has more dimensions than are supported";
    tensor->rank = (int)json_array_size(shape);
    uint64_t size = safetensors_type_size(tensor->type);
    for (size_t i = 0; i < json_array_size(shape); i++) {
        if (!parse_size(shape, i, &tensor->dim[i]))
            return "a dimension is no whole number from 0";
        if (__builtin_mul_overflow(size, (uint64_t)tensor->dim[i], &size))
            return "its shape is too large";
    }
    int64_t begin = 0, end = 0;
    if (json_array_size(offsets) != 2 || !parse_size(offsets, 0, &begin) ||
        !parse_size(offsets, 1, &end) || begin > end)
        return "its data_offsets are no range";
    if ((uint64_t)end > data_size)
        return "its data lies beyond the end of the file";
    if ((uint64_t)(end - begin) != size)
        return "its shape and its data_offsets differ in size";
    entry->begin = (uint64_t)begin;
    tensor->size = size;
    return NULL;
}

static enum status add_tensor(struct safetensors *file, const char *name, const json_t *json)
{
    struct entry entry = {0};
    const char *complaint =
        name[0] ? parse_tensor(json, file->data_size, &entry) : "it has no name";
    if (complaint)
        return tensor_error(file, name, complaint);
    if (file->n == file->capacity) {
        const size_t capacity = file->capacity ? file->capacity + file->capacity / 2 : 64;
        struct entry *grown = realloc(file->entry, capacity * sizeof *grown);
        if (!grown)
            return status_set(STATUS_MEMORY, "no memory to read %s", file->path);
        file->entry = grown;
        file->capacity = capacity;
    }
    entry.tensor.name = strdup(name);
    if (!entry.tensor.name)
        return status_set(STATUS_MEMORY, "no memory to read %s", file->path);
    file->entry[file->n++] = entry;
    return STATUS_OK;
}

static enum status set_metadata(struct safetensors *file, json_t *json)
{
    const char *key = NULL;
    json_t *value = NULL;
    if (file->metadata || !json_is_object(json))
        return status_set(STATUS_FORMAT, "%s: __metadata__ is %s", file->path,
                          file->metadata ? "given twice" : "no object");
    json_object_foreach(json, key, value)
    {
        char quoted[QUOTE_BYTES];
        if (!json_is_string(value))
            return status_set(STATUS_FORMAT, "%s: __metadata__ '%s' is no text", file->path,
                              quote(key, quoted));
    }
    file->metadata = json_incref(json);
    return STATUS_OK;
}

static enum status parse_header(struct safetensors *file, const char *text, size_t size)
{
    struct members members = {.path = file->path, .where = "header", .text = text, .size = size};
    for (;;) {
        json_t *name = NULL, *value = NULL;
        enum status status = members_next(&members, &name, &value);
        if (status < 0)
            return status;
        if (!name)
            return members_end(&members);
        if (strcmp(json_string_value(name), SAFETENSORS_METADATA_KEY) == 0)
            status = set_metadata(file, value);
        else
            status = add_tensor(file, json_string_value(name), value);
        json_decref(name);
        json_decref(value);
        if (status < 0)
            return status;
    }
}

static int compare_begins(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->tensor.size < y->tensor.size ? -1 : x->tensor.size > y->tensor.size;
}

/* Every byte of the data must belong to one tensor. */
static enum status check_layout(struct safetensors *file)
{
    bool is_sorted = true;
    for (size_t i = 1; i < file->n && is_sorted; i++)
        is_sorted = compare_begins(&file->entry[i - 1], &file->entry[i]) <= 0;
    if (!is_sorted)
        qsort(file->entry, file->n, sizeof *file->entry, compare_begins);
    uint64_t expected = 0;
    for (size_t i = 0; i < file->n; i++) {
        const struct entry *entry = &file->entry[i];
        if (entry->begin != expected)
            return tensor_error(file, entry->tensor.name,
                                entry->begin < expected ? "its data overlaps another tensor's"
                                                        : "there is a hole before its data");
        expected += entry->tensor.size;
    }
    if (expected != file->data_size)
        return status_set(STATUS_FORMAT,
                          "%s: %" PRIu64 " bytes from byte %" PRIu64 " on belong to no tensor",
                          file->path, file->data_size - expected, file->data_start + expected);
    return STATUS_OK;
}

/* The slot of a name: the one that holds it, or the free one where it would stand. */
static size_t find_slot(const struct safetensors *file, const char *name)
{
    size_t slot = XXH3_64bits(name, strlen(name)) & (file->n_slots - 1);
    while (file->slot[slot] && strcmp(file->entry[file->slot[slot] - 1].tensor.name, name) != 0)
        slot = (slot + 1) & (file->n_slots - 1);
    return slot;
}

static enum status index_names(struct safetensors *file)
{
    file->n_slots = 2;
    while (file->n_slots < 2 * file->n)
        file->n_slots *= 2;
    file->slot = calloc(file->n_slots, sizeof *file->slot);
    if (!file->slot)
        return status_set(STATUS_MEMORY, "no memory to read %s", file->path);
    for (size_t i = 0; i < file->n; i++) {
        const size_t slot = find_slot(file, file->entry[i].tensor.name);
        if (file->slot[slot])
            return tensor_error(file, file->entry[i].tensor.name, "it is given twice");
        file->slot[slot] = (uint32_t)i + 1;
    }
    return STATUS_OK;
}

static struct entry *find_entry(const struct safetensors *file, const char *name)
{
    const uint32_t number = file->slot[find_slot(file, name)];
    return number ? &file->entry[number - 1] : NULL;
}

/* Takes one member of the hashes: of a tensor, or under "" of the header. */
static enum status set_hash(struct safetensors *file, const char *name, const json_t *json,
                            char header[SAFETENSORS_HEX_BYTES])
{
    const char *hex = json_string_value(json);
    struct entry *entry = name[0] ? find_entry(file, name) : NULL;
    char *target = name[0] == '\0' ? header : entry ? entry->hash : NULL;
    if (!target)
        return tensor_error(file, name, "there is a hash of it, but no data");
    if (target[0])
        return tensor_error(file, name, "it has two hashes");
    if (!hex || strlen(hex) != SAFETENSORS_HEX_BYTES - 1)
        return tensor_error(file, name, "its hash is no 32 digits");
    memcpy(target, hex, SAFETENSORS_HEX_BYTES);
    return STATUS_OK;
}

/* Compares the header with its hash; each tensor must have one too. */
static enum status check_header_hash(const struct safetensors *file, const char *expected)
{
    XXH128_hash_t sum = {0, 0};
    char hex[SAFETENSORS_HEX_BYTES];
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(file->metadata, key, value) if (strcmp(key, SAFETENSORS_HASH_KEY) != 0)
        safetensors_hash_text(&sum, key, json_string_value(value));
    for (size_t i = 0; i < file->n; i++) {
        if (!file->entry[i].hash[0])
            return tensor_error(file, file->entry[i].tensor.name, "its hash is missing");
        safetensors_hash_shape(&sum, &file->entry[i].tensor);
    }
    safetensors_hash_write(sum, hex);
    if (strcmp(hex, expected) != 0)
        return status_set(STATUS_FORMAT, "%s: the header is damaged: its hash is %s, not '%s'",
                          file->path, hex, expected);
    return STATUS_OK;
}

static enum status parse_hashes(struct safetensors *file)
{
    const char *text = safetensors_metadata(file, SAFETENSORS_HASH_KEY);
    char header[SAFETENSORS_HEX_BYTES] = "";
    if (!text)
        return STATUS_OK;
    struct members members = {
        .path = file->path, .where = "hashes", .text = text, .size = strlen(text)};
    for (;;) {
        json_t *name = NULL, *value = NULL;
        enum status status = members_next(&members, &name, &value);
        if (status == STATUS_OK && name)
            status = set_hash(file, json_string_value(name), value, header);
        const bool is_end = !name;
        json_decref(name);
        json_decref(value);
        if (status < 0)
            return status;
        if (is_end)
            break;
    }
    const enum status status = members_end(&members);
    file->is_hashed = true;
    return status < 0 ? status : check_header_hash(file, header);
}

static enum status read_at(const struct safetensors *file, uint64_t offset, void *target,
                           uint64_t size)
{
    char *cursor = target;
    while (size > 0) {
        const ssize_t got = pread(file->descriptor, cursor, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return status_set(STATUS_IO, "cannot read %s: %s", file->path, strerror(errno));
        if (got == 0)
            return status_set(STATUS_FORMAT, "%s: cut at byte %" PRIu64 ", %" PRIu64 " are missing",
                              file->path, offset, size);
        cursor += got;
        offset += (uint64_t)got;
        size -= (uint64_t)got;
    }
    return STATUS_OK;
}

static enum status open_regular(struct safetensors *file, uint64_t *size)
{
    struct stat information;
    /* O_NONBLOCK: a named pipe must not hold us up; it says nothing to a regular file. */
    file->descriptor = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file->descriptor < 0 || fstat(file->descriptor, &information) != 0)
        return status_set(STATUS_IO, "cannot open %s: %s", file->path, strerror(errno));
    if (!S_ISREG(information.st_mode))
        return status_set(STATUS_IO, "cannot open %s: it is not a regular file", file->path);
    *size = (uint64_t)information.st_size;
    return STATUS_OK;
}

static enum status read_header(struct safetensors *file)
{
    uint64_t size = 0, length = 0;
    char *text = NULL;
    enum status status = open_regular(file, &size);
    if (status < 0)
        return status;
    if (size < LENGTH_BYTES + 2)
        return status_set(STATUS_FORMAT, "%s: %" PRIu64 " bytes are too few for a model file",
                          file->path, size);
    if ((status = read_at(file, 0, &length, sizeof length)) < 0)
        return status;
    if (length < 2 || length > SAFETENSORS_MAX_HEADER_BYTES || length > size - LENGTH_BYTES)
        return status_set(STATUS_FORMAT,
                          "%s: no safetensors file: byte 0 asks for a header of %" PRIu64
                          " bytes in a file of %" PRIu64,
                          file->path, length, size);
    text = malloc(length);
    if (!text)
        return status_set(STATUS_MEMORY, "no memory to read %s", file->path);
    file->data_start = LENGTH_BYTES + length;
    file->data_size = size - file->data_start;
    status = read_at(file, LENGTH_BYTES, text, length);
    if (status == STATUS_OK)
        status = parse_header(file, text, length);
    free(text);
    return status;
}

enum status safetensors_open(struct safetensors **opened, const char *path)
{
    *opened = NULL;
    struct safetensors *file = calloc(1, sizeof *file);
    if (!file)
        return status_set(STATUS_MEMORY, "no memory to read %s", path);
    enum status status = STATUS_OK;
    file->descriptor = -1;
    file->path = strdup(path);
    if (!file->path)
        status = status_set(STATUS_MEMORY, "no memory to read %s", path);
    if (status == STATUS_OK)
        status = read_header(file);
    if (status == STATUS_OK)
        status = check_layout(file);
    if (status == STATUS_OK)
        status = index_names(file);
    if (status == STATUS_OK)
        status = parse_hashes(file);
    if (status == STATUS_OK)
        *opened = file;
    else
        safetensors_close(file);
    return status;
}

void safetensors_close(struct safetensors *file)
{
    if (!file)
        return;
    if (file->mapping)
        munmap((void *)(uintptr_t)file->mapping, file->data_start + file->data_size);
    if (file->descriptor >= 0)
        close(file->descriptor);
    for (size_t i = 0; i < file->n; i++)
        free((char *)(uintptr_t)file->entry[i].tensor.name);
    free(file->entry);
    free(file->slot);
    free(file->path);
    json_decref(file->metadata);
    free(file);
}

size_t safetensors_count(const struct safetensors *file)
{
    return file->n;
}

const struct safetensors_tensor *safetensors_get(const struct safetensors *file, size_t index)
{
    CHECK(index < file->n, "tensor %zu of %zu", index, file->n);
    return &file->entry[index].tensor;
}

const struct safetensors_tensor *safetensors_find(const struct safetensors *file, const char *name)
{
    const struct entry *entry = find_entry(file, name);
    return entry ? &entry->tensor : NULL;
}

const char *safetensors_metadata(const struct safetensors *file, const char *key)
{
    return json_string_value(json_object_get(file->metadata, key));
}

static enum status check_hash(const struct safetensors *file, const struct entry *entry,
                              XXH128_hash_t hash)
{
    char hex[SAFETENSORS_HEX_BYTES];
    safetensors_hash_write(hash, hex);
    if (!file->is_hashed || strcmp(hex, entry->hash) == 0)
        return STATUS_OK;
    return tensor_error(file, entry->tensor.name, "its data is damaged: its hash does not fit");
}

enum status safetensors_read_part(const struct safetensors *file,
                                  const struct safetensors_tensor *tensor, uint64_t offset,
                                  uint64_t size, void *target)
{
    const struct entry *entry = (const struct entry *)tensor;
    CHECK(offset <= tensor->size && size <= tensor->size - offset,
          "%" PRIu64 " bytes from %" PRIu64 " of %" PRIu64, size, offset, tensor->size);
    return read_at(file, file->data_start + entry->begin + offset, target, size);
}

enum status safetensors_read(const struct safetensors *file,
                             const struct safetensors_tensor *tensor, void *target)
{
    const enum status status = safetensors_read_part(file, tensor, 0, tensor->size, target);
    if (status < 0)
        return status;
    return check_hash(file, (const struct entry *)tensor, XXH3_128bits(target, tensor->size));
}

enum status safetensors_map(struct safetensors *file, const struct safetensors_tensor *tensor,
                            bool is_verified, const void **bytes)
{
    const struct entry *entry = (const struct entry *)tensor;
    *bytes = NULL;
    if (!file->mapping) {
        void *mapping = mmap(NULL, file->data_start + file->data_size, PROT_READ, MAP_SHARED,
                             file->descriptor, 0);
        if (mapping == MAP_FAILED)
            return status_set(STATUS_IO, "cannot map %s: %s", file->path, strerror(errno));
        file->mapping = mapping;
    }
    *bytes = file->mapping + file->data_start + entry->begin;
    return is_verified ? check_hash(file, entry, XXH3_128bits(*bytes, tensor->size)) : STATUS_OK;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Gives a tensor to the sink (NULL: nobody) through a block, and verifies it. */
static enum status pass_blocks(const struct safetensors *file, const struct entry *entry,
                               const struct safetensors_sink *sink, XXH3_state_t *state,
                               char *block)
{
    enum status status = STATUS_OK;
    uint64_t size = 0;
    XXH3_128bits_reset(state);
    for (uint64_t offset = 0; offset < entry->tensor.size && status == STATUS_OK; offset += size) {
        size = least(entry->tensor.size - offset, SAFETENSORS_BLOCK_BYTES);
        status = safetensors_read_part(file, &entry->tensor, offset, size, block);
        if (status == STATUS_OK && file->is_hashed)
            XXH3_128bits_update(state, block, size);
        if (status == STATUS_OK && sink)
            status = sink->write(sink->context, offset, block, size);
    }
    return status < 0 ? status : check_hash(file, entry, XXH3_128bits_digest(state));
}

/* The entries first .. last-1. */
static enum status pass_entries(const struct safetensors *file, size_t first, size_t last,
                                const struct safetensors_sink *sink)
{
    enum status status = STATUS_OK;
    char *block = malloc(SAFETENSORS_BLOCK_BYTES);
    XXH3_state_t *state = XXH3_createState();
    if (!block || !state)
        status = status_set(STATUS_MEMORY, "no memory to read %s", file->path);
    for (size_t i = first; i < last && status == STATUS_OK; i++)
        status = pass_blocks(file, &file->entry[i], sink, state, block);
    free(block);
    XXH3_freeState(state);
    return status;
}

enum status safetensors_read_blocks(const struct safetensors *file,
                                    const struct safetensors_tensor *tensor,
                                    const struct safetensors_sink *sink)
{
    const size_t index = (size_t)((const struct entry *)tensor - file->entry);
    return pass_entries(file, index, index + 1, sink);
}

enum status safetensors_verify(const struct safetensors *file)
{
    if (!file->is_hashed)
        return status_set(STATUS_FORMAT, "%s: it has no hashes, so damage could not be seen",
                          file->path);
    return pass_entries(file, 0, file->n, NULL);
}
