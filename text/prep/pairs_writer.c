/* The writer of one shard after another; the directory around them is output.c's. */
#include "text/prep/pairs_writer.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/file.h"
#include "text/prep/manifest.h"
#include "text/prep/output.h"
#include "text/prep/shard.h"

struct pairs_writer {
    struct output output;
    struct manifest manifest;
    int64_t shard_bytes;
    int64_t n_pairs;          /* added */
    struct file_writer shard; /* being written; empty between shards */
    uint64_t text_bytes;      /* in it */
    uint32_t *starts;         /* [n_starts] of its texts, little-endian */
    size_t n_starts;
    size_t starts_capacity;
    bool writes_text;
    struct file_writer text[2]; /* plain text by enum pairs_side; empty where not wanted */
};

static enum status no_memory(void)
{
    return status_set(STATUS_MEMORY, "no memory to write a corpus");
}

/* The message of a failed write; the corpus is what its user knows, not the temporary file. */
static enum status cannot_write(const struct pairs_writer *writer)
{
    return status_set(STATUS_IO, "cannot write to %s: %s", writer->output.directory,
                      strerror(errno));
}

static enum status create(struct pairs_writer *writer, struct file_writer *file, const char *name)
{
    char path[PATH_MAX];
    const enum status status = output_path(&writer->output, name, path);
    return status < 0 ? status : file_create(file, path);
}

static enum status create_texts(struct pairs_writer *writer)
{
    enum status status = STATUS_OK;
    for (int side = PAIRS_SOURCE; side <= PAIRS_TARGET && status == STATUS_OK; side++) {
        char name[OUTPUT_NAME_BYTES];
        output_text_name((enum pairs_side)side, writer->manifest.names[side], name);
        status = create(writer, &writer->text[side], name);
    }
    return status;
}

static enum status check_names(const struct pairs_writer_options *options)
{
    const char *const names[] = {options->source_name, options->target_name};
    for (size_t i = 0; i < 2; i++) {
        if (!manifest_is_name(names[i]))
            return status_set(STATUS_CONFIG, "'%s' cannot name a side of a corpus", names[i]);
    }
    return STATUS_OK;
}

enum status pairs_writer_open(struct pairs_writer **writer,
                              const struct pairs_writer_options *options)
{
    *writer = NULL;
    enum status status = check_names(options);
    if (status < 0)
        return status;
    struct pairs_writer *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return no_memory();
    opened->shard_bytes = options->shard_bytes > 0 ? options->shard_bytes : PAIRS_SHARD_TEXT;
    opened->writes_text = options->writes_text;
    snprintf(opened->manifest.names[PAIRS_SOURCE], PAIRS_NAME_BYTES, "%s", options->source_name);
    snprintf(opened->manifest.names[PAIRS_TARGET], PAIRS_NAME_BYTES, "%s", options->target_name);
    status = output_open(&opened->output, options->directory, options->overwrite);
    if (status == STATUS_OK && options->writes_text)
        status = create_texts(opened);
    if (status < 0) {
        pairs_writer_discard(opened);
        return status;
    }
    *writer = opened;
    return STATUS_OK;
}

enum status pairs_writer_temporary(struct pairs_writer *writer, FILE **stream)
{
    return output_temporary(&writer->output, stream);
}

/* Notes where the text begins that is added next, or ends. */
static enum status add_start(struct pairs_writer *writer)
{
    if (writer->n_starts == writer->starts_capacity) {
        const size_t capacity = writer->starts_capacity == 0 ? 1024 : 2 * writer->starts_capacity;
        uint32_t *starts = realloc(writer->starts, capacity * sizeof *starts);
        if (starts == NULL)
            return no_memory();
        writer->starts = starts;
        writer->starts_capacity = capacity;
    }
    writer->starts[writer->n_starts++] = htole32((uint32_t)writer->text_bytes);
    return STATUS_OK;
}

static enum status write_header(struct pairs_writer *writer, uint64_t n_pairs)
{
    struct shard_header header = {
        .version = htole32(PAIRS_VERSION),
        .n_pairs = htole64(n_pairs),
        .text_bytes = htole64(writer->text_bytes),
    };
    memcpy(header.magic, SHARD_MAGIC, sizeof header.magic);
    if (fwrite(&header, sizeof header, 1, writer->shard.stream) != 1)
        return cannot_write(writer);
    return STATUS_OK;
}

static enum status begin_shard(struct pairs_writer *writer)
{
    char file[MANIFEST_FILE_BYTES];
    manifest_shard_file(writer->manifest.n_shards, file);
    writer->text_bytes = 0;
    writer->n_starts = 0;
    const enum status status = create(writer, &writer->shard, file);
    return status < 0 ? status : write_header(writer, 0); /* the real one comes at the end */
}

/* Hashes the file just written, which is mostly still in the system's memory. The counts at its
 * front come last, so it cannot be done on the way. */
static enum status hash_file(struct pairs_writer *writer, char hash[MANIFEST_HASH_BYTES])
{
    static const size_t block_bytes = 1 << 18;
    char *block = malloc(block_bytes);
    XXH3_state_t *state = XXH3_createState();
    const int descriptor = open(writer->shard.temporary_path, O_RDONLY | O_CLOEXEC);
    ssize_t got = descriptor < 0 ? -1 : 1;
    if (block != NULL && state != NULL && XXH3_128bits_reset(state) == XXH_OK) {
        while (got > 0) {
            got = read(descriptor, block, block_bytes);
            (void)XXH3_128bits_update(state, block, got > 0 ? (size_t)got : 0);
        }
    }
    enum status status = STATUS_OK;
    if (block == NULL || state == NULL)
        status = no_memory();
    else if (got < 0)
        status = status_set(STATUS_IO, "cannot read back from %s: %s", writer->output.directory,
                            strerror(errno));
    else
        shard_hash_text(XXH3_128bits_digest(state), hash);
    if (descriptor >= 0)
        close(descriptor);
    XXH3_freeState(state);
    free(block);
    return status;
}

/* Writes the index and, now that they are known, the counts. */
static enum status write_index(struct pairs_writer *writer, uint64_t n_pairs)
{
    static const char zeros[4];
    FILE *stream = writer->shard.stream;
    const size_t padding = (size_t)(shard_index_start(writer->text_bytes) -
                                    sizeof(struct shard_header) - writer->text_bytes);
    enum status status = add_start(writer);
    if (status < 0)
        return status;
    if (fwrite(zeros, 1, padding, stream) != padding ||
        fwrite(writer->starts, sizeof *writer->starts, writer->n_starts, stream) !=
            writer->n_starts ||
        fseeko(stream, 0, SEEK_SET) != 0)
        return cannot_write(writer);
    status = write_header(writer, n_pairs);
    if (status == STATUS_OK && fflush(stream) != 0)
        status = cannot_write(writer);
    return status;
}

static enum status end_shard(struct pairs_writer *writer)
{
    if (writer->shard.stream == NULL)
        return STATUS_OK;
    const uint64_t n_pairs = writer->n_starts / 2;
    struct manifest_shard shard = {
        .pairs = (int64_t)n_pairs,
        .bytes = (int64_t)shard_file_bytes(n_pairs, writer->text_bytes),
    };
    enum status status = write_index(writer, n_pairs);
    if (status == STATUS_OK)
        status = hash_file(writer, shard.hash);
    if (status == STATUS_OK)
        status = file_commit(&writer->shard);
    return status < 0 ? status : manifest_add(&writer->manifest, &shard);
}

/* Whether the shard being written has no room for so many bytes more. */
static bool is_full(const struct pairs_writer *writer, uint64_t bytes)
{
    return writer->text_bytes > 0 && (writer->text_bytes + bytes > (uint64_t)writer->shard_bytes ||
                                      writer->n_starts / 2 == PAIRS_MAX_SHARD_PAIRS);
}

static enum status add_text(struct pairs_writer *writer, enum pairs_side side,
                            const struct pair_text *text)
{
    enum status status = add_start(writer);
    if (status < 0)
        return status;
    FILE *stream = writer->shard.stream;
    if (fwrite(text->bytes, 1, text->size + 1, stream) != text->size + 1)
        return cannot_write(writer);
    writer->text_bytes += text->size + 1;
    stream = writer->text[side].stream;
    if (stream != NULL &&
        (fwrite(text->bytes, 1, text->size, stream) != text->size || putc('\n', stream) == EOF))
        return cannot_write(writer);
    return STATUS_OK;
}

enum status pairs_writer_add(struct pairs_writer *writer, const struct pair *pair)
{
    if (pair->source.size > PAIRS_MAX_TEXT || pair->target.size > PAIRS_MAX_TEXT)
        return status_set(STATUS_DATA, "a text of over %d bytes cannot be in a corpus",
                          (int)PAIRS_MAX_TEXT);
    enum status status = STATUS_OK;
    if (is_full(writer, pair->source.size + pair->target.size + 2))
        status = end_shard(writer);
    if (status == STATUS_OK && writer->shard.stream == NULL)
        status = begin_shard(writer);
    if (status == STATUS_OK)
        status = add_text(writer, PAIRS_SOURCE, &pair->source);
    if (status == STATUS_OK)
        status = add_text(writer, PAIRS_TARGET, &pair->target);
    writer->n_pairs += status == STATUS_OK ? 1 : 0;
    return status;
}

int64_t pairs_writer_count(const struct pairs_writer *writer)
{
    return writer->n_pairs;
}

static enum status write_manifest(struct pairs_writer *writer, const char *report)
{
    struct buffer text = {0};
    struct file_writer file = {0};
    writer->manifest.report = strdup(report);
    if (writer->manifest.report == NULL)
        return no_memory();
    enum status status = manifest_append(&writer->manifest, &text);
    if (status == STATUS_OK)
        status = create(writer, &file, PAIRS_MANIFEST);
    if (status == STATUS_OK) {
        fwrite(text.data, 1, text.size, file.stream); /* file_commit() sees a failure */
        status = file_commit(&file);
    }
    buffer_free(&text);
    return status;
}

enum status pairs_writer_commit(struct pairs_writer *writer, const char *report)
{
    enum status status = end_shard(writer);
    for (int side = PAIRS_SOURCE; side <= PAIRS_TARGET && status == STATUS_OK; side++) {
        if (writer->text[side].stream != NULL)
            status = file_commit(&writer->text[side]);
    }
    if (status == STATUS_OK)
        status = write_manifest(writer, report);
    if (status == STATUS_OK)
        status = output_publish(&writer->output, &writer->manifest, writer->writes_text);
    pairs_writer_discard(writer);
    return status;
}

void pairs_writer_discard(struct pairs_writer *writer)
{
    if (writer == NULL)
        return;
    file_discard(&writer->shard);
    file_discard(&writer->text[PAIRS_SOURCE]);
    file_discard(&writer->text[PAIRS_TARGET]);
    output_close(&writer->output);
    manifest_free(&writer->manifest);
    free(writer->starts);
    free(writer);
}
