/* States in several files. */
#include "model/shards.h"

#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>
#include <xxhash.h>

#include "base/file.h"

/* What a list says of a shard. */
struct entry {
    uint64_t bytes, hash;
};

/* -- names -- */

/* The state's path without its ending. */
static int stem_length(const char *path)
{
    static const char ending[] = ".safetensors";
    const size_t length = strlen(path), n = sizeof ending - 1;
    return (int)(length > n && strcmp(path + length - n, ending) == 0 ? length - n : length);
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void shard_path(char shard[PATH_MAX], const char *path, uint64_t saving, int rank, int size)
{
    snprintf(shard, PATH_MAX, "%.*s-%" PRIu64 "-%d-of-%d.safetensors", stem_length(path), path,
             saving, rank + 1, size);
}

/* Whether a file's name is that of a shard of the state's. */
static bool is_shard(const char *file, const char *path)
{
    const char *name = name_of(path);
    const size_t length = (size_t)stem_length(name);
    uint64_t saving;
    int rank, size, used = -1;
    return strncmp(file, name, length) == 0 &&
           sscanf(file + length, "-%" SCNu64 "-%d-of-%d.safetensors%n", &saving, &rank, &size,
                  &used) == 3 &&
           used > 0 && file[length + (size_t)used] == '\0';
}

/* Whether a file is what a process left that died while it wrote the state or a shard. */
static bool is_torn(const char *file, const char *path)
{
    const char *name = name_of(path);
    const size_t length = strlen(file);
    return strncmp(file, name, (size_t)stem_length(name)) == 0 && length > 4 &&
           strcmp(file + length - 4, ".tmp") == 0;
}

/* -- what a list says -- */

/* A file's hash: of its list of hashes, which is of all its bytes. */
static enum status describe_file(const struct safetensors *file, const char *path,
                                 struct entry *entry)
{
    struct stat about;
    const char *hashes = safetensors_metadata(file, "hash");
    if (!hashes)
        return status_set(STATUS_FORMAT, "%s: no shard of a state: it has no hashes", path);
    if (stat(path, &about) != 0)
        return status_set(STATUS_IO, "%s: its size cannot be read", path);
    *entry = (struct entry){(uint64_t)about.st_size, XXH3_64bits(hashes, strlen(hashes))};
    return STATUS_OK;
}

static enum status describe_shard(const char *path, struct entry *entry)
{
    struct safetensors *file = NULL;
    enum status status = safetensors_open(&file, path);
    if (status >= 0)
        status = describe_file(file, path, entry);
    safetensors_close(file);
    return status;
}

static json_t *parse(const char *text)
{
    return json_loads(text, JSON_REJECT_DUPLICATES, NULL);
}

/* The number of the state's saving; 0 where there is none, or none in shards. */
static uint64_t last_saving(const char *path)
{
    struct safetensors *file = NULL;
    uint64_t saving = 0;
    if (!file_exists(path) || safetensors_open(&file, path) < 0)
        return 0;
    const char *text = safetensors_metadata(file, SHARDS_KEY);
    json_t *list = text ? parse(text) : NULL;
    const json_int_t number = json_integer_value(json_object_get(list, "saving"));
    if (number > 0)
        saving = (uint64_t)number;
    json_decref(list);
    safetensors_close(file);
    return saving;
}

/* -- writing -- */

static enum status write_starts(const struct inventory *own, struct buffer *starts)
{
    enum status status = buffer_append_string(starts, "{");
    for (size_t i = 0; i < own->count && status >= 0; i++)
        status = buffer_printf(starts, "%s\"%s\":%" PRId64, i ? "," : "", own->tensors[i].name,
                               inventory_range(own, i, own->comm->rank).start);
    return status < 0 ? status : buffer_append_string(starts, "}");
}

static enum status write_shard(struct inventory *own, const char *path, struct entry *entry)
{
    struct buffer starts = {0};
    enum status status = write_starts(own, &starts);
    const struct safetensors_text text = {.key = "starts", .value = starts.data};
    const struct safetensors_source source = {inventory_download, own};
    if (status >= 0)
        status = safetensors_write(path, own->tensors, own->count, &text, 1, &source);
    if (status >= 0)
        status = describe_shard(path, entry);
    buffer_free(&starts);
    return status;
}

/* Rank 0 must see what the others wrote, or nobody will. */
static enum status look_at_shards(const char *path, uint64_t saving, const struct entry *entries,
                                  int size)
{
    enum status status = STATUS_OK;
    for (int r = 0; r < size && status >= 0; r++) {
        char shard[PATH_MAX];
        struct entry seen = {0};
        shard_path(shard, path, saving, r, size);
        status = describe_shard(shard, &seen);
        if (status >= 0 && (seen.bytes != entries[r].bytes || seen.hash != entries[r].hash))
            status = status_set(STATUS_IO, "%s: not what rank %d wrote", shard, r);
        if (status < 0)
            status_hint("save.dir must be in a file system that all ranks share");
    }
    return status;
}

static enum status write_list(const char *path, uint64_t saving, const struct entry *entries,
                              int size, struct buffer *list)
{
    enum status status = buffer_printf(list, "{\"saving\":%" PRIu64 ",\"files\":[", saving);
    for (int r = 0; r < size && status >= 0; r++) {
        char shard[PATH_MAX];
        shard_path(shard, name_of(path), saving, r, size);
        status = buffer_printf(
            list, "%s{\"name\":\"%s\",\"bytes\":%" PRIu64 ",\"hash\":\"%016" PRIx64 "\"}",
            r ? "," : "", shard, entries[r].bytes, entries[r].hash);
    }
    return status < 0 ? status : buffer_append_string(list, "]}");
}

static enum status list_shards(struct comm *comm, const char *path, uint64_t saving,
                               const struct entry *mine, struct buffer *list)
{
    struct entry *entries = calloc((size_t)comm->size, sizeof *entries);
    enum status status = comm_agree(
        comm, entries ? STATUS_OK : status_set(STATUS_MEMORY, "no memory for a list of shards"));
    if (status >= 0)
        status = comm_all_gather(comm, entries, mine, sizeof *mine);
    if (status >= 0 && comm->rank == 0)
        status = look_at_shards(path, saving, entries, comm->size);
    if (status >= 0)
        status = write_list(path, saving, entries, comm->size, list);
    free(entries);
    return comm_agree(comm, status);
}

enum status shards_write(struct inventory *own, const char *path, struct buffer *list)
{
    struct comm *comm = own->comm;
    struct comm_pulse pulse = {0};
    struct entry mine = {0};
    char shard[PATH_MAX];
    uint64_t saving = comm->rank == 0 ? last_saving(path) + 1 : 0;
    enum status status = comm_broadcast(comm, &saving, sizeof saving, 0);
    if (status < 0)
        return status;
    shard_path(shard, path, saving, comm->rank, comm->size);
    own->pulse = &pulse;
    status = comm_beat_end(comm, &pulse, write_shard(own, shard, &mine));
    if (status >= 0)
        status = list_shards(comm, path, saving, &mine, list);
    if (status < 0)
        (void)unlink(shard);
    return status;
}

void shards_clean(const char *path, const char *list)
{
    char folder[PATH_MAX], victim[PATH_MAX];
    snprintf(folder, sizeof folder, "%.*s", (int)(name_of(path) - path), path);
    DIR *directory = opendir(folder[0] ? folder : ".");
    for (struct dirent *item; directory && (item = readdir(directory));) {
        char quoted[NAME_MAX + 3];
        snprintf(quoted, sizeof quoted, "\"%s\"", item->d_name);
        const bool is_old = is_shard(item->d_name, path) && !(list && strstr(list, quoted));
        if (!is_old && !is_torn(item->d_name, path))
            continue;
        if (snprintf(victim, sizeof victim, "%s%s", folder, item->d_name) < (int)sizeof victim)
            (void)unlink(victim);
    }
    if (directory)
        closedir(directory);
}

/* -- reading -- */

struct shard {
    char *path;               /* owned */
    struct safetensors *file; /* owned */
    json_t *starts;           /* owned */
};

struct shards {
    char *path;          /* owned: of the state */
    struct shard *items; /* owned [count] */
    size_t count;
};

void shards_close(struct shards *shards)
{
    for (size_t i = 0; shards && i < shards->count; i++) {
        safetensors_close(shards->items[i].file);
        json_decref(shards->items[i].starts);
        free(shards->items[i].path);
    }
    if (shards) {
        free(shards->items);
        free(shards->path);
    }
    free(shards);
}

/* Opens what one line of a list names. */
static enum status open_shard(struct shard *shard, const char *path, const json_t *line)
{
    const char *name = json_string_value(json_object_get(line, "name"));
    const char *hash = json_string_value(json_object_get(line, "hash"));
    const json_int_t bytes = json_integer_value(json_object_get(line, "bytes"));
    struct buffer full = {0};
    struct entry found = {0};
    if (!name || !hash || strchr(name, '/'))
        return status_set(STATUS_FORMAT, "%s: its list of shards is damaged", path);
    enum status status = buffer_printf(&full, "%.*s%s", (int)(name_of(path) - path), path, name);
    if (status < 0)
        return status;
    shard->path = full.data;
    status = safetensors_open(&shard->file, shard->path);
    if (status >= 0)
        status = describe_file(shard->file, shard->path, &found);
    if (status >= 0 && (found.bytes != (uint64_t)bytes || found.hash != strtoull(hash, NULL, 16)))
        status = status_set(STATUS_FORMAT, "%s: not the shard that %s lists", shard->path,
                            name_of(path));
    const char *starts = status < 0 ? NULL : safetensors_metadata(shard->file, "starts");
    shard->starts = starts ? parse(starts) : NULL;
    if (status >= 0 && !json_is_object(shard->starts))
        status = status_set(STATUS_FORMAT, "%s: no shard of a state", shard->path);
    if (status < 0)
        status_hint("%s is of %s, and is nothing without it: bring back the shard as it was", path,
                    name);
    return status;
}

enum status shards_open(struct shards **shards, const char *path, const char *list)
{
    json_t *root = parse(list);
    const json_t *files = json_object_get(root, "files");
    struct shards *new = calloc(1, sizeof *new);
    enum status status =
        new ? STATUS_OK : status_set(STATUS_MEMORY, "no memory for a list of shards");
    *shards = NULL;
    if (status >= 0 && !json_is_array(files))
        status = status_set(STATUS_FORMAT, "%s: its list of shards is damaged", path);
    if (status >= 0) {
        new->path = strdup(path);
        new->items = calloc(json_array_size(files) + 1, sizeof *new->items);
        if (!new->path || !new->items)
            status = status_set(STATUS_MEMORY, "no memory for a list of shards");
    }
    for (size_t i = 0; status >= 0 && i < json_array_size(files); i++)
        status = open_shard(&new->items[new->count++], path, json_array_get(files, i));
    json_decref(root);
    if (status < 0)
        shards_close(new);
    else
        *shards = new;
    return status;
}

/* Passes bytes of a shard's tensor on by their place in the whole one. */
struct placed {
    const struct safetensors_sink *sink;
    uint64_t start;
};

static enum status pass_on(void *context, uint64_t offset, const void *bytes, size_t size)
{
    const struct placed *placed = context;
    return placed->sink->write(placed->sink->context, placed->start + offset, bytes, size);
}

enum status shards_read(const struct shards *shards, const struct safetensors_tensor *whole,
                        struct run_range range, const struct safetensors_sink *sink)
{
    const uint64_t unit = safetensors_type_size(whole->type);
    uint64_t next = 0;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < shards->count && status >= 0; i++) {
        const struct shard *shard = &shards->items[i];
        const struct safetensors_tensor *part = safetensors_find(shard->file, whole->name);
        if (!part)
            continue;
        const json_t *start = json_object_get(shard->starts, whole->name);
        if (part->type != whole->type || !json_is_integer(start) ||
            (uint64_t)json_integer_value(start) * unit != next)
            return status_set(STATUS_FORMAT, "%s: '%s' does not go on where the shard before ends",
                              shard->path, whole->name);
        struct placed placed = {sink, next};
        const struct safetensors_sink placing = {pass_on, &placed};
        next += part->size;
        if (next > (uint64_t)range.start * unit && placed.start < (uint64_t)range.end * unit)
            status = safetensors_read_blocks(shard->file, part, &placing);
    }
    if (status >= 0 && next != whole->size)
        status = status_set(STATUS_FORMAT,
                            "%s: its shards hold %" PRIu64 " bytes of '%s', not "
                            "%" PRIu64,
                            shards->path, next, whole->name, whole->size);
    return status;
}

size_t shards_count(const struct shards *shards)
{
    return shards ? shards->count : 0;
}

const struct safetensors *shards_get(const struct shards *shards, size_t index)
{
    return shards->items[index].file;
}
