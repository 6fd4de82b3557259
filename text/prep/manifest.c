/* The manifest by jansson. What a stranger wrote is checked field by field before it is used. */
#include "text/prep/manifest.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "text/utf8.h"

static const char FORMAT[] = "mixt pairs";

enum { LARGEST_MANIFEST = 1 << 26, SMALLEST_SHARD = 36 };

void manifest_shard_file(size_t number, char file[MANIFEST_FILE_BYTES])
{
    snprintf(file, MANIFEST_FILE_BYTES, "pairs-%05zu.bin", number);
}

bool manifest_is_name(const char *name)
{
    const size_t size = strlen(name);
    if (size == 0 || size >= PAIRS_NAME_BYTES || utf8_valid_prefix(name, size) != size)
        return false;
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7F || name[i] == '/')
            return false;
    }
    return true;
}

enum status manifest_add(struct manifest *manifest, const struct manifest_shard *shard)
{
    struct manifest_shard *shards =
        realloc(manifest->shards, (manifest->n_shards + 1) * sizeof *shards);
    if (shards == NULL)
        return status_set(STATUS_MEMORY, "no memory for the manifest");
    shards[manifest->n_shards++] = *shard;
    manifest->shards = shards;
    manifest->pairs += shard->pairs;
    return STATUS_OK;
}

void manifest_free(struct manifest *manifest)
{
    free(manifest->shards);
    free(manifest->report);
    *manifest = (struct manifest){0};
}

static enum status damaged(const char *path, const char *why)
{
    return status_set(STATUS_FORMAT, "%s: damaged manifest: %s", path, why);
}

static bool read_count(const json_t *object, const char *key, int64_t least, int64_t *count)
{
    const json_t *value = json_object_get(object, key);
    *count = json_is_integer(value) ? json_integer_value(value) : -1;
    return *count >= least;
}

static enum status read_name(const json_t *root, const char *key, const char *path,
                             char name[PAIRS_NAME_BYTES])
{
    const char *value = json_string_value(json_object_get(root, key));
    if (value == NULL || !manifest_is_name(value))
        return damaged(path, "a side has no proper name");
    snprintf(name, PAIRS_NAME_BYTES, "%s", value);
    return STATUS_OK;
}

static bool is_hash(const char *text)
{
    return text != NULL && strlen(text) == MANIFEST_HASH_BYTES - 1 &&
           strspn(text, "0123456789abcdef") == MANIFEST_HASH_BYTES - 1;
}

static enum status read_shard(struct manifest *manifest, const json_t *value, const char *path)
{
    struct manifest_shard shard = {0};
    char file[MANIFEST_FILE_BYTES];
    manifest_shard_file(manifest->n_shards, file);
    const char *name = json_string_value(json_object_get(value, "file"));
    const char *hash = json_string_value(json_object_get(value, "xxh3_128"));
    if (name == NULL || strcmp(name, file) != 0)
        return damaged(path, "a shard has not the name of its number");
    if (!read_count(value, "pairs", 1, &shard.pairs) ||
        !read_count(value, "bytes", SMALLEST_SHARD, &shard.bytes) || shard.pairs > shard.bytes ||
        shard.bytes > INT64_MAX / 2 - manifest->pairs)
        return damaged(path, "a shard has no proper counts");
    if (!is_hash(hash))
        return damaged(path, "a shard has no proper hash");
    snprintf(shard.hash, sizeof shard.hash, "%s", hash);
    return manifest_add(manifest, &shard);
}

static enum status read_report(struct manifest *manifest, const json_t *root, const char *path)
{
    const json_t *report = json_object_get(root, "report");
    if (!json_is_object(report))
        return damaged(path, "it has no report");
    manifest->report = json_dumps(report, JSON_INDENT(1));
    if (manifest->report == NULL)
        return status_set(STATUS_MEMORY, "no memory for %s", path);
    return STATUS_OK;
}

static enum status read_root(struct manifest *manifest, const json_t *root, const char *path)
{
    const char *format = json_string_value(json_object_get(root, "format"));
    if (format == NULL || strcmp(format, FORMAT) != 0)
        return status_set(STATUS_FORMAT, "%s: not the manifest of a corpus by 'mixt prep'", path);
    const json_int_t version = json_integer_value(json_object_get(root, "version"));
    if (version != PAIRS_VERSION)
        return status_set(STATUS_FORMAT, "%s: version %" PRId64 " of the corpus, not %d", path,
                          (int64_t)version, (int)PAIRS_VERSION);
    enum status status = read_name(root, "source", path, manifest->names[PAIRS_SOURCE]);
    if (status == STATUS_OK)
        status = read_name(root, "target", path, manifest->names[PAIRS_TARGET]);
    const json_t *shards = json_object_get(root, "shards");
    if (status == STATUS_OK && !json_is_array(shards))
        status = damaged(path, "it has no list of shards");
    for (size_t i = 0; status == STATUS_OK && i < json_array_size(shards); i++)
        status = read_shard(manifest, json_array_get(shards, i), path);
    int64_t pairs = 0;
    if (status == STATUS_OK && (!read_count(root, "pairs", 0, &pairs) || pairs != manifest->pairs))
        status = damaged(path, "its shards do not add up to its pairs");
    return status < 0 ? status : read_report(manifest, root, path);
}

/* Says what is missing: the directory, or only the manifest in it. */
static enum status missing(const char *directory)
{
    if (!file_is_directory(directory))
        return status_set(STATUS_IO, "cannot open %s: there is no such directory", directory);
    const enum status status = status_set(
        STATUS_FORMAT, "%s: not a finished corpus: it has no " PAIRS_MANIFEST, directory);
    status_hint("'mixt prep SOURCE TARGET -o %s' makes one", directory);
    return status;
}

enum status manifest_read(struct manifest *manifest, const char *directory)
{
    *manifest = (struct manifest){0};
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/" PAIRS_MANIFEST, directory) >= (int)sizeof path)
        return status_set(STATUS_IO, "cannot open %s: the path is too long", directory);
    if (!file_exists(path))
        return missing(directory);
    struct buffer text = {0};
    enum status status = file_read(path, LARGEST_MANIFEST, &text);
    json_t *root = NULL;
    if (status == STATUS_OK) {
        json_error_t error;
        root = json_loadb(text.data == NULL ? "" : text.data, text.size, JSON_REJECT_DUPLICATES,
                          &error);
        if (root == NULL)
            status = status_set(STATUS_FORMAT, "%s:%d: damaged manifest: %s", path, error.line,
                                error.text);
        else
            status = read_root(manifest, root, path);
    }
    json_decref(root);
    buffer_free(&text);
    if (status < 0)
        manifest_free(manifest);
    return status;
}

static json_t *pack_shards(const struct manifest *manifest)
{
    json_t *shards = json_array();
    for (size_t i = 0; i < manifest->n_shards && shards != NULL; i++) {
        const struct manifest_shard *shard = &manifest->shards[i];
        char file[MANIFEST_FILE_BYTES];
        manifest_shard_file(i, file);
        json_t *packed =
            json_pack("{s:s, s:I, s:I, s:s}", "file", file, "pairs", (json_int_t)shard->pairs,
                      "bytes", (json_int_t)shard->bytes, "xxh3_128", shard->hash);
        if (json_array_append_new(shards, packed) != 0) {
            json_decref(shards);
            return NULL;
        }
    }
    return shards;
}

enum status manifest_append(const struct manifest *manifest, struct buffer *text)
{
    json_error_t error;
    json_t *report = json_loads(manifest->report, 0, &error);
    if (report == NULL)
        return status_set(STATUS_FORMAT, "the report for the manifest is not JSON: %s", error.text);
    /* pack takes over report and shards, also where it fails */
    json_t *root = json_pack("{s:s, s:i, s:s, s:s, s:I, s:o, s:o}", "format", FORMAT, "version",
                             (int)PAIRS_VERSION, "source", manifest->names[PAIRS_SOURCE], "target",
                             manifest->names[PAIRS_TARGET], "pairs", (json_int_t)manifest->pairs,
                             "shards", pack_shards(manifest), "report", report);
    char *dumped = root == NULL ? NULL : json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    enum status status = STATUS_OK;
    if (dumped == NULL)
        status = status_set(STATUS_MEMORY, "no memory for the manifest");
    if (status == STATUS_OK)
        status = buffer_append_string(text, dumped);
    if (status == STATUS_OK)
        status = buffer_append_string(text, "\n");
    free(dumped);
    return status;
}
