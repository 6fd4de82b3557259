/* Blocks of one bucket each go to the file as they fill; a bucket is read back, in order, into a
 * table of the keys seen. */
#include "text/prep/duplicates.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/parallel.h"

enum { N_BUCKETS = 256, BUCKET_SHIFT = 56, BLOCK_KEYS = 1024, WORD_BITS = 64 };

/* A key with its number. */
struct entry {
    struct duplicates_key key;
    uint64_t number;
};

struct bucket {
    struct entry *block; /* [BLOCK_KEYS] being filled; owned */
    size_t n;            /* entries in block */
    uint32_t *places;    /* [n_places] of its full blocks in the file, in order; owned */
    size_t n_places;
    size_t capacity;
};

struct duplicates {
    FILE *file;
    uint32_t n_blocks; /* in the file */
    int64_t n_keys;
    struct bucket buckets[N_BUCKETS];
    _Atomic uint64_t *seen; /* [n_keys / WORD_BITS + 1] a bit a key; NULL before the search */
};

static enum status no_memory(void)
{
    return status_set(STATUS_MEMORY, "no memory to find duplicates");
}

enum status duplicates_open(struct duplicates **duplicates, FILE *file)
{
    *duplicates = calloc(1, sizeof **duplicates);
    if (*duplicates == NULL)
        return no_memory();
    (*duplicates)->file = file;
    for (size_t i = 0; i < N_BUCKETS; i++) {
        struct bucket *bucket = &(*duplicates)->buckets[i];
        bucket->block = malloc(BLOCK_KEYS * sizeof *bucket->block);
        if (bucket->block == NULL) {
            duplicates_close(*duplicates);
            *duplicates = NULL;
            return no_memory();
        }
    }
    return STATUS_OK;
}

void duplicates_close(struct duplicates *duplicates)
{
    if (duplicates == NULL)
        return;
    for (size_t i = 0; i < N_BUCKETS; i++) {
        free(duplicates->buckets[i].block);
        free(duplicates->buckets[i].places);
    }
    free(duplicates->seen);
    free(duplicates);
}

static enum status write_block(struct duplicates *duplicates, struct bucket *bucket)
{
    if (bucket->n_places == bucket->capacity) {
        const size_t capacity = bucket->capacity == 0 ? 16 : 2 * bucket->capacity;
        uint32_t *places = realloc(bucket->places, capacity * sizeof *places);
        if (places == NULL)
            return no_memory();
        bucket->places = places;
        bucket->capacity = capacity;
    }
    if (duplicates->n_blocks == UINT32_MAX)
        return status_set(STATUS_DATA, "too many pairs to look for duplicates");
    if (fwrite(bucket->block, sizeof *bucket->block, BLOCK_KEYS, duplicates->file) != BLOCK_KEYS)
        return status_set(STATUS_IO, "cannot write the keys of duplicates: %s", strerror(errno));
    bucket->places[bucket->n_places++] = duplicates->n_blocks++;
    bucket->n = 0;
    return STATUS_OK;
}

enum status duplicates_add(struct duplicates *duplicates, const struct duplicates_key *key)
{
    struct bucket *bucket = &duplicates->buckets[key->high >> BUCKET_SHIFT];
    bucket->block[bucket->n++] = (struct entry){*key, (uint64_t)duplicates->n_keys++};
    return bucket->n < BLOCK_KEYS ? STATUS_OK : write_block(duplicates, bucket);
}

static enum status read_block(const struct duplicates *duplicates, uint32_t place,
                              struct entry block[BLOCK_KEYS])
{
    const size_t size = BLOCK_KEYS * sizeof *block;
    const off_t start = (off_t)size * place;
    for (size_t got = 0; got < size;) {
        const ssize_t n =
            pread(fileno(duplicates->file), (char *)block + got, size - got, start + (off_t)got);
        if (n == 0 || (n < 0 && errno != EINTR))
            return status_set(STATUS_IO, "cannot read back the keys of duplicates: %s",
                              n == 0 ? "the file ends too early" : strerror(errno));
        got += n > 0 ? (size_t)n : 0;
    }
    return STATUS_OK;
}

/* The different keys of a bucket so far, by open addressing; grows, since all keys of a corpus may
 * be in one bucket when they are the same. A zero number is a free place. */
struct table {
    struct entry *places; /* [mask + 1]; numbers are one more than in the bucket */
    size_t mask;
    size_t used;
};

/* The place of the key, or the free one where it belongs. */
static struct entry *find_place(const struct table *table, const struct duplicates_key *key)
{
    size_t place = (size_t)key->low & table->mask;
    while (table->places[place].number != 0 &&
           (table->places[place].key.low != key->low || table->places[place].key.high != key->high))
        place = (place + 1) & table->mask;
    return &table->places[place];
}

/* Makes the table, or one twice as large. */
static enum status grow(struct table *table)
{
    const size_t room = table->places == NULL ? 2 * BLOCK_KEYS : 2 * (table->mask + 1);
    const struct table larger = {calloc(room, sizeof *table->places), room - 1, table->used};
    if (larger.places == NULL)
        return no_memory();
    for (size_t i = 0; table->places != NULL && i <= table->mask; i++) {
        if (table->places[i].number != 0)
            *find_place(&larger, &table->places[i].key) = table->places[i];
    }
    free(table->places);
    *table = larger;
    return STATUS_OK;
}

static enum status enter(struct duplicates *duplicates, struct table *table,
                         const struct entry *entry)
{
    if (table->places == NULL || 2 * table->used > table->mask) {
        const enum status status = grow(table);
        if (status < 0)
            return status;
    }
    struct entry *place = find_place(table, &entry->key);
    if (place->number != 0) {
        atomic_fetch_or_explicit(&duplicates->seen[entry->number / WORD_BITS],
                                 (uint64_t)1 << entry->number % WORD_BITS, memory_order_relaxed);
    } else {
        *place = (struct entry){entry->key, entry->number + 1};
        table->used++;
    }
    return STATUS_OK;
}

static enum status search_blocks(struct duplicates *duplicates, const struct bucket *bucket,
                                 struct table *table, struct entry block[BLOCK_KEYS])
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < bucket->n_places && status == STATUS_OK; i++) {
        status = read_block(duplicates, bucket->places[i], block);
        for (size_t k = 0; k < BLOCK_KEYS && status == STATUS_OK; k++)
            status = enter(duplicates, table, &block[k]);
    }
    for (size_t k = 0; k < bucket->n && status == STATUS_OK; k++)
        status = enter(duplicates, table, &bucket->block[k]);
    return status;
}

static enum status search_bucket(void *context, int thread, int64_t index)
{
    (void)thread;
    struct duplicates *duplicates = context;
    struct table table = {0};
    struct entry *block = malloc(BLOCK_KEYS * sizeof *block);
    if (block == NULL)
        return no_memory();
    const enum status status =
        search_blocks(duplicates, &duplicates->buckets[index], &table, block);
    free(block);
    free(table.places);
    return status;
}

enum status duplicates_find(struct duplicates *duplicates, int threads)
{
    CHECK(duplicates->seen == NULL, "a second search for duplicates");
    if (fflush(duplicates->file) != 0)
        return status_set(STATUS_IO, "cannot write the keys of duplicates: %s", strerror(errno));
    duplicates->seen = calloc((size_t)duplicates->n_keys / WORD_BITS + 1, sizeof *duplicates->seen);
    if (duplicates->seen == NULL)
        return no_memory();
    return parallel_for(threads, N_BUCKETS, search_bucket, duplicates);
}

bool duplicates_has(const struct duplicates *duplicates, int64_t i)
{
    CHECK(duplicates->seen != NULL && i >= 0 && i < duplicates->n_keys, "key %lld of %lld",
          (long long)i, (long long)duplicates->n_keys);
    const uint64_t word =
        atomic_load_explicit(&duplicates->seen[i / WORD_BITS], memory_order_relaxed);
    return (word >> i % WORD_BITS & 1) != 0;
}
