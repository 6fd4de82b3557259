/* Lines to words to pieces; what became of short words is remembered in a small table. */
#include "text/subword/bpe.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "text/subword/bpe_merger.h"
#include "text/subword/bpe_text.h"
#include "text/utf8.h"

enum {
    CACHE_LINE_BYTES = 64, /* of the processor */
    CACHE_SETS = 1 << 14,
    CACHE_WAYS = 4,
    CACHE_BYTES = CACHE_SETS * CACHE_WAYS * CACHE_LINE_BYTES + CACHE_LINE_BYTES,
    CACHED_BYTES = CACHE_LINE_BYTES - 6
};

/* Tells the random numbers of dropout from those for other uses of the same seed. */
static const uint32_t dropout_stream = 0x42504544;

struct bpe {
    struct bpe_options options;
    struct bpe_codes *codes;
    struct bpe_rules rules;
    size_t separator_size;
    bool is_bytes;
};

/* A word of the cache, and what becomes of it. */
struct cache_entry {
    uint32_t hash;
    uint8_t word_size;        /* 0: free */
    uint8_t output_size;      /* 0: the output is the word */
    char bytes[CACHED_BYTES]; /* the output, then the word */
};

/* A piece that may have to be taken apart. */
struct part {
    const char *bytes;
    size_t size;
    bool is_final; /* of its word */
};

struct bpe_encoder {
    const struct bpe *bpe;
    struct bpe_merger merger;
    struct bpe_matcher *matcher; /* NULL without glossaries */
    struct bpe_chance chance;
    struct cache_entry *cache; /* [CACHE_SETS, CACHE_WAYS]; NULL with dropout */
    char *cache_memory;        /* owned; the cache lies in it */
    unsigned next_way;         /* where a new word goes in a full set */
    struct buffer repaired;    /* a word */
    struct buffer key;         /* for one look-up */
    struct part *parts;        /* owned, a stack */
    size_t n_parts, parts_capacity;
};

enum status bpe_open(struct bpe **bpe, struct bpe_codes *codes, const struct bpe_options *options)
{
    *bpe = NULL;
    struct bpe *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return status_set(STATUS_MEMORY, "no memory for the codes");
    opened->options = *options;
    opened->codes = codes;
    opened->separator_size = strlen(options->separator);
    opened->is_bytes = codes->version == BPE_VERSION_BYTE;
    if (options->vocabulary != NULL && options->vocabulary->size == 0)
        opened->options.vocabulary = NULL;
    const enum status status = bpe_rules_init(&opened->rules, codes);
    if (status < 0)
        bpe_close(opened);
    else
        *bpe = opened;
    return status;
}

void bpe_close(struct bpe *bpe)
{
    if (bpe == NULL)
        return;
    bpe_rules_free(&bpe->rules);
    free(bpe);
}

/* The cache begins at a line of the processor's, so that a word is one line. */
static struct cache_entry *align_cache(char *memory)
{
    const size_t excess = (size_t)((uintptr_t)memory % CACHE_LINE_BYTES);
    return (struct cache_entry *)(void *)(memory + (excess > 0 ? CACHE_LINE_BYTES - excess : 0));
}

enum status bpe_encoder_open(struct bpe_encoder **encoder, const struct bpe *bpe)
{
    enum status status = STATUS_OK;
    const bool has_dropout = bpe->options.dropout > 0;
    struct bpe_encoder *opened = calloc(1, sizeof *opened);
    if (opened != NULL && !has_dropout)
        opened->cache_memory = calloc(CACHE_BYTES, 1);
    if (opened == NULL || (opened->cache_memory == NULL && !has_dropout))
        status = status_set(STATUS_MEMORY, "no memory for a cache of words");
    if (status == STATUS_OK && bpe->options.glossaries != NULL)
        status = bpe_matcher_open(&opened->matcher, bpe->options.glossaries);
    if (status < 0) {
        bpe_encoder_close(opened);
        opened = NULL;
    } else {
        opened->bpe = bpe;
        opened->cache = has_dropout ? NULL : align_cache(opened->cache_memory);
        opened->chance.dropout = bpe->options.dropout;
        opened->chance.key.seed = bpe->options.seed;
        opened->chance.key.stream = dropout_stream;
    }
    *encoder = opened;
    return status;
}

void bpe_encoder_close(struct bpe_encoder *encoder)
{
    if (encoder == NULL)
        return;
    bpe_merger_free(&encoder->merger);
    bpe_matcher_close(encoder->matcher);
    buffer_free(&encoder->repaired);
    buffer_free(&encoder->key);
    free(encoder->cache_memory);
    free(encoder->parts);
    free(encoder);
}

/* Appends a piece, behind a separator unless it is the first of its word. */
static enum status put(const struct bpe_encoder *encoder, const char *bytes, size_t size,
                       bool *is_first, struct buffer *output)
{
    enum status status = STATUS_OK;
    if (!*is_first) {
        status =
            buffer_append(output, encoder->bpe->options.separator, encoder->bpe->separator_size);
        if (status == STATUS_OK)
            status = buffer_append(output, " ", 1);
    }
    *is_first = false;
    return status < 0 ? status : buffer_append(output, bytes, size);
}

static enum status push_part(struct bpe_encoder *encoder, struct part part)
{
    if (encoder->n_parts == encoder->parts_capacity) {
        const size_t capacity = encoder->parts_capacity ? 2 * encoder->parts_capacity : 16;
        struct part *grown = realloc(encoder->parts, capacity * sizeof *grown);
        if (grown == NULL)
            return status_set(STATUS_MEMORY, "no memory to take a word apart");
        encoder->parts = grown;
        encoder->parts_capacity = capacity;
    }
    encoder->parts[encoder->n_parts++] = part;
    return STATUS_OK;
}

/* Puts a piece with something behind it into encoder->key. */
static enum status make_key(struct bpe_encoder *encoder, const struct part *part, const char *more)
{
    buffer_clear(&encoder->key);
    const enum status status = buffer_append(&encoder->key, part->bytes, part->size);
    return status < 0 ? status : buffer_append_string(&encoder->key, more);
}

/* The end of a symbol without its last four characters, which stand for the end of the word. */
static struct part cut_word_end(const struct bpe *bpe, const char *bytes, size_t size)
{
    for (int i = 0; i < BPE_WORD_END_BYTES && size > 0; i++) {
        size--;
        while (!bpe->is_bytes && size > 0 && ((unsigned char)bytes[size] & 0xC0) == 0x80)
            size--;
    }
    return (struct part){bytes, size, true};
}

/* Undoes the merge that made a part; *is_cut false where none did. */
static enum status take_apart(struct bpe_encoder *encoder, const struct part *part, bool *is_cut)
{
    const struct bpe *bpe = encoder->bpe;
    const struct strings *symbols = &bpe->codes->symbols;
    *is_cut = false;
    if (part->size == 0)
        return STATUS_OK;
    enum status status = make_key(encoder, part, part->is_final ? BPE_WORD_END : "");
    if (status < 0)
        return status;
    const int32_t symbol = strings_find(symbols, encoder->key.data, encoder->key.size);
    const int32_t number = symbol < 0 ? -1 : bpe->rules.parts[symbol];
    if (number < 0)
        return STATUS_OK;
    *is_cut = true;
    size_t left_size = 0, right_size = 0;
    const char *left = strings_get(symbols, bpe->codes->merges[number].left, &left_size);
    const char *right = strings_get(symbols, bpe->codes->merges[number].right, &right_size);
    status = push_part(encoder, part->is_final ? cut_word_end(bpe, right, right_size)
                                               : (struct part){right, right_size, false});
    return status < 0 ? status : push_part(encoder, (struct part){left, left_size, false});
}

/* Puts a piece, or what it was merged from as far as the vocabulary has it. */
static enum status put_known(struct bpe_encoder *encoder, struct part piece, bool *is_first,
                             struct buffer *output)
{
    const struct bpe_options *options = &encoder->bpe->options;
    encoder->n_parts = 0;
    enum status status = push_part(encoder, piece);
    while (status == STATUS_OK && encoder->n_parts > 0) {
        const struct part part = encoder->parts[--encoder->n_parts];
        bool is_cut = false;
        status = make_key(encoder, &part, part.is_final ? "" : options->separator);
        const bool is_known =
            status == STATUS_OK &&
            strings_find(options->vocabulary, encoder->key.data, encoder->key.size) >= 0;
        if (status == STATUS_OK && !is_known)
            status = take_apart(encoder, &part, &is_cut);
        if (status == STATUS_OK && !is_cut)
            status = put(encoder, part.bytes, part.size, is_first, output);
    }
    return status;
}

static enum status put_pieces(struct bpe_encoder *encoder, struct bpe_segment segment,
                              bool *is_first, struct buffer *output)
{
    const struct bpe_merger *merger = &encoder->merger;
    enum status status = STATUS_OK;
    for (uint32_t place = 0; place < merger->n_nodes && status == STATUS_OK;) {
        const struct bpe_node *node = &merger->nodes[place];
        place = node->next;
        const size_t end = place < merger->n_nodes ? merger->nodes[place].start : segment.size;
        const struct part part = {segment.bytes + node->start, end - node->start,
                                  end == segment.size};
        if (part.size == 0) /* the end of the word alone */
            break;
        status = encoder->bpe->options.vocabulary != NULL
                     ? put_known(encoder, part, is_first, output)
                     : put(encoder, part.bytes, part.size, is_first, output);
    }
    return status;
}

static enum status encode_segment(struct bpe_encoder *encoder, struct bpe_segment segment,
                                  bool *is_first, struct buffer *output)
{
    const struct bpe *bpe = encoder->bpe;
    bool is_whole = bpe_character_bytes(segment.bytes, segment.size, bpe->is_bytes) == segment.size;
    enum status status = STATUS_OK;
    if (encoder->matcher != NULL && !is_whole)
        status = bpe_matcher_is_whole(encoder->matcher, segment, &is_whole);
    if (status < 0 || is_whole)
        return status < 0 ? status : put(encoder, segment.bytes, segment.size, is_first, output);
    status = bpe_merger_run(&encoder->merger, &bpe->rules, segment.bytes, segment.size,
                            bpe->options.dropout > 0 ? &encoder->chance : NULL);
    return status < 0 ? status : put_pieces(encoder, segment, is_first, output);
}

static enum status encode_new_word(struct bpe_encoder *encoder, const char *word, size_t size,
                                   struct buffer *output)
{
    enum status status = STATUS_OK;
    struct bpe_segment whole = {word, size};
    const struct bpe_segment *segments = &whole;
    size_t n_segments = 1;
    bool is_first = true;
    if (!encoder->bpe->is_bytes && utf8_valid_prefix(word, size) < size) {
        size_t n_bad = 0;
        buffer_clear(&encoder->repaired);
        status = utf8_repair(&encoder->repaired, word, size, &n_bad);
        whole = (struct bpe_segment){encoder->repaired.data, encoder->repaired.size};
    }
    if (status == STATUS_OK && encoder->matcher != NULL)
        status = bpe_matcher_cut(encoder->matcher, whole.bytes, whole.size, &segments, &n_segments);
    for (size_t i = 0; i < n_segments && status == STATUS_OK; i++)
        status = encode_segment(encoder, segments[i], &is_first, output);
    return status;
}

/* The entry of a word; else the one to put it into, whose word_size then is 0. */
static struct cache_entry *find_entry(struct bpe_encoder *encoder, uint32_t hash, const char *word,
                                      size_t size)
{
    struct cache_entry *set = encoder->cache + (size_t)(hash % CACHE_SETS) * CACHE_WAYS;
    int way = 0;
    for (; way < CACHE_WAYS && set[way].word_size > 0; way++) {
        const struct cache_entry *entry = &set[way];
        if (entry->hash == hash && entry->word_size == size &&
            memcmp(entry->bytes + entry->output_size, word, size) == 0)
            return &set[way];
    }
    if (way == CACHE_WAYS)
        way = (int)(encoder->next_way++ % CACHE_WAYS);
    set[way].word_size = 0;
    return &set[way];
}

static void remember(struct cache_entry *entry, uint32_t hash, const char *word, size_t size,
                     const char *output, size_t output_size)
{
    const bool is_word = output_size == size && memcmp(word, output, size) == 0;
    const size_t kept = is_word ? 0 : output_size;
    if (size + kept > CACHED_BYTES)
        return;
    entry->hash = hash;
    entry->word_size = (uint8_t)size;
    entry->output_size = (uint8_t)kept;
    memcpy(entry->bytes, output, kept);
    memcpy(entry->bytes + kept, word, size);
}

enum status bpe_encode_word(struct bpe_encoder *encoder, const char *word, size_t size,
                            struct buffer *output)
{
    if (size == 0 || size > CACHED_BYTES || encoder->cache == NULL)
        return size == 0 ? STATUS_OK : encode_new_word(encoder, word, size, output);
    const uint32_t hash = (uint32_t)XXH3_64bits(word, size);
    struct cache_entry *entry = find_entry(encoder, hash, word, size);
    enum status status = STATUS_OK;
    if (output->capacity - output->size <= CACHED_BYTES &&
        (status = buffer_reserve(output, CACHED_BYTES)) < 0)
        return status;
    if (entry->word_size > 0) {
        /* all bytes, since a fixed number is faster to copy; the rest is written over */
        memcpy(output->data + output->size, entry->bytes, CACHED_BYTES);
        output->size += entry->output_size > 0 ? entry->output_size : size;
        output->data[output->size] = '\0';
        return STATUS_OK;
    }
    const size_t before = output->size;
    status = encode_new_word(encoder, word, size, output);
    if (status == STATUS_OK)
        remember(entry, hash, word, size, output->data + before, output->size - before);
    return status;
}

static enum status put_space(struct buffer *output)
{
    if (output->capacity - output->size < 2)
        return buffer_append(output, " ", 1);
    output->data[output->size++] = ' ';
    output->data[output->size] = '\0';
    return STATUS_OK;
}

/* A line without line ends within. */
static enum status encode_plain_line(struct bpe_encoder *encoder, const char *bytes, size_t size,
                                     struct buffer *output)
{
    const char *body = bytes;
    size_t body_size = size;
    bpe_strip(&body, &body_size);
    if (body_size == 0)
        return buffer_append(output, bytes, size);
    const size_t n_before = (size_t)(body - bytes);
    enum status status = buffer_append(output, bytes, n_before);
    const char *end = body + body_size;
    while (body < end && status == STATUS_OK) {
        const char *space = memchr(body, ' ', (size_t)(end - body));
        const char *stop = space != NULL ? space : end;
        if (stop > body)
            status = bpe_encode_word(encoder, body, (size_t)(stop - body), output);
        if (stop > body && stop < end && status == STATUS_OK)
            status = put_space(output);
        body = stop + 1;
    }
    return status < 0 ? status : buffer_append(output, end, size - n_before - body_size);
}

enum status bpe_encode_line(struct bpe_encoder *encoder, const struct line *line,
                            struct buffer *output)
{
    struct bpe_chance *chance = &encoder->chance;
    chance->key.step = (uint32_t)line->number;
    chance->key.stream = dropout_stream ^ (uint32_t)((uint64_t)line->number >> 32);
    chance->row = chance->block = 0;
    chance->n_left = 0;
    if (encoder->bpe->is_bytes)
        return encode_plain_line(encoder, line->bytes, line->size, output);
    const char *bytes = line->bytes;
    size_t size = line->size;
    enum status status = STATUS_OK;
    while (size > 0 && status == STATUS_OK) {
        const size_t length = bpe_line_bytes(bytes, size);
        status = encode_plain_line(encoder, bytes, length, output);
        bytes += length;
        size -= length;
    }
    return status;
}

enum status bpe_decode_line(const char *separator, const char *bytes, size_t size,
                            struct buffer *output)
{
    const size_t length = strlen(separator);
    const char *end = bytes + size;
    enum status status = STATUS_OK;
    while (bytes < end && status == STATUS_OK) {
        const char *found = memmem(bytes, (size_t)(end - bytes), separator, length);
        const char *rest = found != NULL ? found + length : end;
        const bool is_joint = found != NULL && (rest == end || *rest == ' ');
        const char *kept = found == NULL ? end : is_joint ? found : found + 1;
        status = buffer_append(output, bytes, (size_t)(kept - bytes));
        bytes = is_joint ? rest + (rest < end ? 1 : 0) : kept;
    }
    return status;
}

enum status bpe_read_vocabulary(struct strings *vocabulary, struct lines *lines, int64_t threshold)
{
    struct line line;
    lines_set_verbatim(lines);
    enum status status = lines_next(lines, &line);
    while (status == STATUS_OK && line.bytes != NULL) {
        const char *piece = NULL;
        size_t size = 0;
        int64_t count = 0;
        int32_t number = 0;
        if (!bpe_read_entry(line.bytes, line.size, &piece, &size, &count)) {
            status = status_set(STATUS_FORMAT,
                                "%s:%" PRId64 ": wanted a piece, a space and its count, found "
                                "'%.*s'",
                                lines_name(lines), line.number,
                                line.size > 60 ? 60 : (int)line.size, line.bytes);
            status_hint("'mixt subword vocab --type subword-nmt' writes such a file");
            return status;
        }
        if (count >= threshold)
            status = strings_add(vocabulary, piece, size, &number);
        if (status == STATUS_OK)
            status = lines_next(lines, &line);
    }
    return status;
}
