/* The reader: every number of a file is checked before it is followed, those of the whole when it
 * is opened, those of a pair when the pair is asked for. */
#include "text/prep/pairs.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/file.h"
#include "text/prep/manifest.h"
#include "text/prep/shard.h"
#include "text/utf8.h"

enum { FORGET_BYTES = 1 << 24 };

struct shard {
    char *path;             /* owned */
    const char *map;        /* the whole file; NULL: not mapped */
    size_t size;            /* of the file */
    int64_t first;          /* number of its first pair in the corpus */
    int64_t n;              /* pairs */
    const char *text;       /* in map */
    uint64_t text_bytes;    /* with the NULs */
    const uint32_t *starts; /* [2n + 1] in map, little-endian */
};

struct pairs {
    struct manifest manifest;
    struct shard *shards; /* [manifest.n_shards] */
    int64_t text_bytes;   /* without the NULs */
};

static enum status damaged(const struct shard *shard, const char *why)
{
    const enum status status =
        status_set(STATUS_FORMAT, "%s: damaged corpus: %s", shard->path, why);
    status_hint("make the corpus again with 'mixt prep'");
    return status;
}

static enum status map_file(struct shard *shard, int64_t wanted_bytes)
{
    const int descriptor = open(shard->path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return status_set(STATUS_IO, "cannot open %s: %s", shard->path, strerror(errno));
    struct stat information;
    enum status status = STATUS_OK;
    if (fstat(descriptor, &information) != 0)
        status = status_set(STATUS_IO, "cannot read %s: %s", shard->path, strerror(errno));
    else if (!S_ISREG(information.st_mode) || information.st_size != wanted_bytes)
        status = status_set(STATUS_FORMAT, "%s: damaged corpus: %lld bytes, the manifest says %lld",
                            shard->path, (long long)information.st_size, (long long)wanted_bytes);
    if (status == STATUS_OK) {
        void *map = mmap(NULL, (size_t)wanted_bytes, PROT_READ, MAP_SHARED, descriptor, 0);
        if (map == MAP_FAILED) {
            status = status_set(STATUS_IO, "cannot map %s: %s", shard->path, strerror(errno));
        } else {
            shard->map = map;
            shard->size = (size_t)wanted_bytes;
        }
    }
    close(descriptor);
    return status;
}

/* Finds the parts of a mapped file. */
static enum status read_shard_header(struct shard *shard)
{
    struct shard_header header;
    if (shard->size < sizeof header)
        return damaged(shard, "it is too short");
    memcpy(&header, shard->map, sizeof header);
    if (memcmp(header.magic, SHARD_MAGIC, sizeof header.magic) != 0)
        return damaged(shard, "it does not begin as a shard does");
    if (le32toh(header.version) != PAIRS_VERSION || header.reserved != 0)
        return damaged(shard, "its version is unknown");
    const uint64_t n = le64toh(header.n_pairs), text_bytes = le64toh(header.text_bytes);
    if (n != (uint64_t)shard->n)
        return damaged(shard, "it has not as many pairs as the manifest says");
    if (n > shard->size || text_bytes > shard->size ||
        shard_file_bytes(n, text_bytes) != shard->size)
        return damaged(shard, "its parts do not add up to its size");
    shard->text = shard->map + sizeof header;
    shard->text_bytes = text_bytes;
    shard->starts = (const uint32_t *)(const void *)(shard->map + shard_index_start(text_bytes));
    if (le32toh(shard->starts[0]) != 0 || le32toh(shard->starts[2 * n]) != text_bytes)
        return damaged(shard, "its index does not fit its text");
    return STATUS_OK;
}

static enum status open_shard(struct pairs *pairs, size_t number, const char *directory)
{
    struct shard *shard = &pairs->shards[number];
    const struct manifest_shard *entry = &pairs->manifest.shards[number];
    char file[MANIFEST_FILE_BYTES];
    manifest_shard_file(number, file);
    if (asprintf(&shard->path, "%s/%s", directory, file) < 0) {
        shard->path = NULL;
        return status_set(STATUS_MEMORY, "no memory to open %s", directory);
    }
    shard->n = entry->pairs;
    shard->first = number == 0 ? 0 : shard[-1].first + shard[-1].n;
    enum status status = map_file(shard, entry->bytes);
    if (status == STATUS_OK)
        status = read_shard_header(shard);
    if (status == STATUS_OK)
        pairs->text_bytes += (int64_t)shard->text_bytes - 2 * shard->n;
    return status;
}

enum status pairs_open(struct pairs **pairs, const char *directory)
{
    *pairs = NULL;
    struct pairs *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return status_set(STATUS_MEMORY, "no memory to open %s", directory);
    enum status status = manifest_read(&opened->manifest, directory);
    const size_t n_shards = opened->manifest.n_shards;
    if (status == STATUS_OK) {
        opened->shards = calloc(n_shards + 1, sizeof *opened->shards);
        if (opened->shards == NULL)
            status = status_set(STATUS_MEMORY, "no memory to open %s", directory);
    }
    for (size_t i = 0; i < n_shards && status == STATUS_OK; i++)
        status = open_shard(opened, i, directory);
    if (status < 0) {
        pairs_close(opened);
        return status;
    }
    *pairs = opened;
    return STATUS_OK;
}

void pairs_close(struct pairs *pairs)
{
    if (pairs == NULL)
        return;
    for (size_t i = 0; pairs->shards != NULL && i < pairs->manifest.n_shards; i++) {
        const struct shard *shard = &pairs->shards[i];
        if (shard->map != NULL)
            munmap((void *)(uintptr_t)shard->map, shard->size);
        free(shard->path);
    }
    free(pairs->shards);
    manifest_free(&pairs->manifest);
    free(pairs);
}

bool pairs_exist(const char *directory)
{
    char path[PATH_MAX];
    return snprintf(path, sizeof path, "%s/" PAIRS_MANIFEST, directory) < (int)sizeof path &&
           file_exists(path);
}

int64_t pairs_count(const struct pairs *pairs)
{
    return pairs->manifest.pairs;
}

int64_t pairs_text_bytes(const struct pairs *pairs)
{
    return pairs->text_bytes;
}

const char *pairs_name(const struct pairs *pairs, enum pairs_side side)
{
    return pairs->manifest.names[side];
}

uint64_t pairs_hash(const struct pairs *pairs)
{
    uint64_t hash = XXH3_64bits(pairs->manifest.names, sizeof pairs->manifest.names);
    for (size_t i = 0; i < pairs->manifest.n_shards; i++)
        hash = XXH3_64bits_withSeed(pairs->manifest.shards[i].hash, MANIFEST_HASH_BYTES, hash);
    return hash;
}

const char *pairs_report(const struct pairs *pairs)
{
    return pairs->manifest.report;
}

static const struct shard *shard_of(const struct pairs *pairs, int64_t i)
{
    size_t low = 0, high = pairs->manifest.n_shards;
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (pairs->shards[middle].first <= i)
            low = middle;
        else
            high = middle;
    }
    return &pairs->shards[low];
}

/* Pair k of a shard. */
static enum status get_pair(const struct shard *shard, int64_t k, struct pair *pair)
{
    const uint64_t start = le32toh(shard->starts[2 * k]);
    const uint64_t middle = le32toh(shard->starts[2 * k + 1]);
    const uint64_t end = le32toh(shard->starts[2 * k + 2]);
    if (start >= middle || middle >= end || end > shard->text_bytes ||
        shard->text[middle - 1] != '\0' || shard->text[end - 1] != '\0')
        return damaged(shard, "an entry of its index does not fit its text");
    pair->source = (struct pair_text){shard->text + start, middle - 1 - start};
    pair->target = (struct pair_text){shard->text + middle, end - 1 - middle};
    return STATUS_OK;
}

enum status pairs_get(const struct pairs *pairs, int64_t i, struct pair *pair)
{
    CHECK(i >= 0 && i < pairs->manifest.pairs, "pair %lld of %lld", (long long)i,
          (long long)pairs->manifest.pairs);
    const struct shard *shard = shard_of(pairs, i);
    return get_pair(shard, i - shard->first, pair);
}

static void forget(const struct shard *shard)
{
    (void)madvise((void *)(uintptr_t)shard->map, shard->size, MADV_DONTNEED);
}

void pairs_forget(const struct pairs *pairs)
{
    for (size_t i = 0; i < pairs->manifest.n_shards; i++)
        forget(&pairs->shards[i]);
}

static bool is_clean(const struct pair_text *text)
{
    return memchr(text->bytes, '\n', text->size) == NULL &&
           memchr(text->bytes, '\0', text->size) == NULL &&
           utf8_valid_prefix(text->bytes, text->size) == text->size;
}

/* Compares the hash, in memory that does not grow with the file. */
static enum status verify_hash(const struct shard *shard, const struct manifest_shard *entry)
{
    XXH3_state_t *state = XXH3_createState();
    if (state == NULL || XXH3_128bits_reset(state) != XXH_OK) {
        XXH3_freeState(state);
        return status_set(STATUS_MEMORY, "no memory to verify %s", shard->path);
    }
    for (size_t place = 0; place < shard->size; place += FORGET_BYTES) {
        const size_t rest = shard->size - place;
        (void)XXH3_128bits_update(state, shard->map + place,
                                  rest < FORGET_BYTES ? rest : FORGET_BYTES);
        forget(shard);
    }
    char hash[MANIFEST_HASH_BYTES];
    shard_hash_text(XXH3_128bits_digest(state), hash);
    XXH3_freeState(state);
    if (strcmp(hash, entry->hash) != 0)
        return damaged(shard, "its hash is not the one in the manifest");
    return STATUS_OK;
}

static enum status verify_shard(const struct shard *shard, const struct manifest_shard *entry)
{
    const enum status verified = verify_hash(shard, entry);
    if (verified < 0)
        return verified;
    uint64_t place = 0, forgotten = 0;
    for (int64_t k = 0; k < shard->n; k++) {
        struct pair pair;
        const enum status status = get_pair(shard, k, &pair);
        if (status < 0)
            return status;
        if (pair.source.bytes != shard->text + place)
            return damaged(shard, "its index leaves text out");
        place += pair.source.size + pair.target.size + 2;
        if (!is_clean(&pair.source) || !is_clean(&pair.target))
            return damaged(shard, "a text is not valid UTF-8 of one line");
        if (place - forgotten >= FORGET_BYTES) {
            forget(shard);
            forgotten = place;
        }
    }
    return STATUS_OK;
}

enum status pairs_verify(const struct pairs *pairs)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < pairs->manifest.n_shards && status == STATUS_OK; i++)
        status = verify_shard(&pairs->shards[i], &pairs->manifest.shards[i]);
    return status;
}
