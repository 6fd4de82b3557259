/* Laying sentence pairs out as a batch. */
#include "text/batch.h"

#include <stdlib.h>
#include <string.h>

void batch_start(struct batch *batch)
{
    batch->n_sentences = 0;
    batch->source_length = batch->target_length = 0;
    batch->n_source_tokens = batch->n_target_tokens = 0;
}

enum status batch_add(struct batch *batch, const int32_t *source, int64_t source_length,
                      const int32_t *target, int64_t target_length)
{
    CHECK(source_length >= 0 && target_length >= 0 && source_length + target_length > 0,
          "lengths %lld, %lld", (long long)source_length, (long long)target_length);
    if (batch->n_sentences == batch->pairs_capacity) {
        const int64_t capacity = batch->pairs_capacity * 2 + 64;
        struct batch_pair *pairs = realloc(batch->pairs, (size_t)capacity * sizeof *pairs);
        if (!pairs)
            return status_set(STATUS_MEMORY, "no memory for a batch of %lld sentences",
                              (long long)capacity);
        batch->pairs = pairs;
        batch->pairs_capacity = capacity;
    }
    batch->pairs[batch->n_sentences++] =
        (struct batch_pair){source, target, source_length, target_length};
    batch->n_source_tokens += source_length;
    batch->n_target_tokens += target_length;
    if (source_length > batch->source_length)
        batch->source_length = source_length;
    if (target_length > batch->target_length)
        batch->target_length = target_length;
    return STATUS_OK;
}

/* Makes room for size numbers, half as many again when it has to grow. */
static enum status reserve(struct batch *batch, size_t size)
{
    if (size <= batch->storage_size)
        return STATUS_OK;
    const size_t wanted = size + size / 2;
    free(batch->storage);
    batch->storage = malloc(wanted * sizeof *batch->storage);
    batch->storage_size = batch->storage ? wanted : 0;
    if (!batch->storage)
        return status_set(STATUS_MEMORY, "no memory for a batch of %zu numbers", wanted);
    return STATUS_OK;
}

/* Cuts the storage into arrays. */
static enum status place_arrays(struct batch *batch)
{
    const int64_t n_source = batch->source_length * batch->n_sentences;
    const int64_t n_target = batch->target_length * batch->n_sentences;
    CHECK(n_source <= INT32_MAX && n_target <= INT32_MAX, "a batch of %lld and %lld places",
          (long long)n_source, (long long)n_target);
    struct {
        int32_t **array;
        int64_t size;
    } const places[] = {
        {&batch->source, n_source},
        {&batch->target_in, n_target},
        {&batch->target_out, n_target},
        {&batch->source_lengths, batch->n_sentences},
        {&batch->target_lengths, batch->n_sentences},
        {&batch->source_rows, batch->n_source_tokens},
        {&batch->target_rows, batch->n_target_tokens},
        {&batch->sentences, batch->n_sentences},
    };
    const size_t n_places = sizeof places / sizeof places[0];
    int64_t size = 1; /* never an empty storage: the arrays are then valid pointers too */
    for (size_t i = 0; i < n_places; i++)
        size += places[i].size;
    const enum status status = reserve(batch, (size_t)size);
    if (status < 0)
        return status;
    int32_t *cursor = batch->storage;
    for (size_t i = 0; i < n_places; i++) {
        *places[i].array = cursor;
        cursor += places[i].size;
    }
    return STATUS_OK;
}

/* Rows of all places before the lengths, in time-major order. */
static void list_rows(int32_t *rows, const int32_t *lengths, int64_t n_steps, int64_t n_sentences)
{
    for (int64_t t = 0; t < n_steps; t++)
        for (int64_t b = 0; b < n_sentences; b++)
            if (t < lengths[b])
                *rows++ = (int32_t)(t * n_sentences + b);
}

static void lay_out_pair(struct batch *batch, int64_t b, int32_t bos)
{
    const struct batch_pair *pair = &batch->pairs[b];
    const int64_t n_sentences = batch->n_sentences;
    for (int64_t s = 0; s < batch->source_length; s++)
        batch->source[s * n_sentences + b] =
            s < pair->source_length ? pair->source[s] : BATCH_SOURCE_PAD;
    int32_t before = bos;
    for (int64_t t = 0; t < batch->target_length; t++) {
        const bool is_real = t < pair->target_length;
        batch->target_in[t * n_sentences + b] = is_real ? before : BATCH_SOURCE_PAD;
        batch->target_out[t * n_sentences + b] = is_real ? pair->target[t] : BATCH_TARGET_PAD;
        before = is_real ? pair->target[t] : before;
    }
    batch->source_lengths[b] = (int32_t)pair->source_length;
    batch->target_lengths[b] = (int32_t)pair->target_length;
}

enum status batch_finish(struct batch *batch, int32_t bos, int64_t first_sentence)
{
    return batch_finish_share(batch, bos, first_sentence, 1);
}

enum status batch_finish_share(struct batch *batch, int32_t bos, int64_t first_sentence,
                               int64_t stride)
{
    CHECK(first_sentence >= 0 && first_sentence + batch->n_sentences * stride <= INT32_MAX,
          "sentence %lld", (long long)first_sentence);
    const enum status status = place_arrays(batch);
    if (status < 0)
        return status;
    for (int64_t b = 0; b < batch->n_sentences; b++) {
        lay_out_pair(batch, b, bos);
        batch->sentences[b] = (int32_t)(first_sentence + b * stride);
    }
    list_rows(batch->source_rows, batch->source_lengths, batch->source_length, batch->n_sentences);
    list_rows(batch->target_rows, batch->target_lengths, batch->target_length, batch->n_sentences);
    return STATUS_OK;
}

void batch_free(struct batch *batch)
{
    free(batch->pairs);
    free(batch->storage);
    *batch = (struct batch){0};
}
