/* The binary corpus: a manifest and, behind the first NUL, a shard. Whatever the bytes are, opening
 * ends with a status, and a pair that is handed out lies inside the file and ends with a NUL. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "tests/fuzz/fuzz.h"
#include "text/prep/pairs.h"

#define MANIFEST                                                                                   \
    "{\"format\": \"mixt pairs\", \"version\": 1, \"source\": \"en\", \"target\": \"de\", "        \
    "\"pairs\": 2, \"shards\": [{\"file\": \"pairs-00000.bin\", \"pairs\": 2, \"bytes\": 64, "     \
    "\"xxh3_128\": \"d3f9a4e9f4f9c4f1d3f9a4e9f4f9c4f1\"}], \"report\": {\"lines\": 2}}"
#define SHARD                                                                                      \
    "mixtPAIR\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\13\0\0\0\0\0\0\0ab\0c\0\0\xC3\xA4\xC3\xB6\0\0"       \
    "\0\0\0\0\3\0\0\0\5\0\0\0\6\0\0\0\13\0\0"

static const char seed[] = MANIFEST "\0" SHARD;

const struct fuzz_seed fuzz_seeds[] = {{seed, sizeof seed}};
const size_t n_fuzz_seeds = sizeof fuzz_seeds / sizeof fuzz_seeds[0];

static char directory[64];

static void remove_directory(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/" PAIRS_MANIFEST, directory);
    unlink(path);
    snprintf(path, sizeof path, "%s/pairs-00000.bin", directory);
    unlink(path);
    rmdir(directory);
}

/* One directory for all inputs: making and removing it would take most of the time. */
static void make_directory(void)
{
    static bool is_made;
    if (is_made)
        return;
    snprintf(directory, sizeof directory, "%s/mixt-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp"); /* memory is faster */
    CHECK(mkdtemp(directory) != NULL, "no temporary folder");
    is_made = true;
    atexit(remove_directory);
}

static void write_file(const char *name, const void *bytes, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *stream = fopen(path, "wb");
    CHECK(stream != NULL, "cannot write %s", path);
    CHECK(fwrite(bytes, 1, size, stream) == size, "cannot write %s", path);
    fclose(stream);
}

static void read_all(void)
{
    struct pairs *pairs = NULL;
    if (pairs_open(&pairs, directory) < 0) {
        CHECK(pairs == NULL, "a corpus in spite of an error");
        return;
    }
    for (int64_t i = 0; i < pairs_count(pairs); i++) {
        struct pair pair;
        if (pairs_get(pairs, i, &pair) < 0)
            continue;
        CHECK(memchr(pair.source.bytes, '\0', pair.source.size + 1) != NULL &&
                  pair.source.bytes[pair.source.size] == '\0' &&
                  pair.target.bytes[pair.target.size] == '\0',
              "pair %lld has no end", (long long)i);
    }
    const enum status verified = pairs_verify(pairs);
    CHECK(verified == STATUS_OK || verified == STATUS_FORMAT, "status %d", (int)verified);
    (void)pairs_hash(pairs);
    pairs_close(pairs);
}

/* A manifest that agrees with the shard, so that its inside is reached. */
static void read_shard(const uint8_t *shard, size_t size)
{
    char manifest[512];
    uint64_t n_pairs = 0;
    if (size >= 24)
        memcpy(&n_pairs, shard + 16, sizeof n_pairs);
    const int n = snprintf(
        manifest, sizeof manifest,
        "{\"format\": \"mixt pairs\", \"version\": 1, \"source\": \"en\", \"target\": \"de\", "
        "\"pairs\": %lld, \"shards\": [{\"file\": \"pairs-00000.bin\", \"pairs\": %lld, \"bytes\": "
        "%zu, \"xxh3_128\": \"00000000000000000000000000000000\"}], \"report\": {}}",
        (long long)n_pairs, (long long)n_pairs, size);
    write_file(PAIRS_MANIFEST, manifest, (size_t)n);
    read_all();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    make_directory();
    const uint8_t *end = size > 0 ? memchr(bytes, '\0', size) : NULL;
    const size_t manifest_size = end == NULL ? size : (size_t)(end - bytes);
    const uint8_t *shard = end == NULL ? bytes + size : end + 1;
    const size_t shard_size = (size_t)(bytes + size - shard);
    write_file(PAIRS_MANIFEST, bytes, manifest_size);
    write_file("pairs-00000.bin", shard, shard_size);
    read_all();
    read_shard(shard, shard_size);
    return 0;
}
