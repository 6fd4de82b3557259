/* The walk: a protocol buffer message is a run of fields, each a key (number and wire type) and a
 * value. The field numbers are those of sentencepiece_model.proto. */
#include "text/subword/subword_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text/utf8.h"

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

enum model_field {
    MODEL_PIECES = 1,
    MODEL_TRAINER = 2,
    MODEL_NORMALIZER = 3,
    MODEL_DENORMALIZER = 5
};
enum piece_field { PIECE_TEXT = 1, PIECE_SCORE = 2 };
enum trainer_field { TRAINER_METHOD = 3, TRAINER_BYTE_FALLBACK = 35 };
enum normalizer_field { NORMALIZER_CHARSMAP = 2 };

/* Scores are log-probabilities (unigram) or minus ranks (BPE); sums of them must stay finite. */
static const float LARGEST_SCORE = 1e9F;

/* A message inside the file, read from the front. */
struct message {
    const char *file; /* start of the whole file, for offsets in messages */
    const char *name; /* of the file */
    const char *cursor;
    const char *end;
};

struct field {
    uint64_t number;
    enum wire_type type;
    uint64_t value;    /* of a varint, or the bits of a fixed number */
    const char *bytes; /* of WIRE_BYTES, `value` of them */
};

static enum status damaged(const struct message *message, const char *why)
{
    return status_set(STATUS_FORMAT, "%s: not a valid subword model: %s at byte %zu", message->name,
                      why, (size_t)(message->cursor - message->file));
}

static size_t bytes_left(const struct message *message)
{
    return (size_t)(message->end - message->cursor);
}

static enum status read_varint(struct message *message, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (message->cursor == message->end)
            return damaged(message, "cut number");
        const uint8_t byte = (uint8_t)*message->cursor++;
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return STATUS_OK;
    }
    return damaged(message, "endless number");
}

static enum status read_fixed(struct message *message, size_t size, uint64_t *value)
{
    if (bytes_left(message) < size)
        return damaged(message, "cut field");
    *value = 0;
    for (size_t i = 0; i < size; i++)
        *value |= (uint64_t)(uint8_t)message->cursor[i] << (8 * i);
    message->cursor += size;
    return STATUS_OK;
}

static enum status read_field(struct message *message, struct field *field)
{
    uint64_t key = 0;
    enum status status = read_varint(message, &key);
    if (status < 0)
        return status;
    *field = (struct field){.number = key >> 3, .type = (enum wire_type)(key & 7)};
    if (field->number == 0)
        return damaged(message, "field number 0");
    switch (field->type) {
    case WIRE_VARINT:
        return read_varint(message, &field->value);
    case WIRE_FIXED64:
        return read_fixed(message, 8, &field->value);
    case WIRE_FIXED32:
        return read_fixed(message, 4, &field->value);
    case WIRE_BYTES:
        if ((status = read_varint(message, &field->value)) < 0)
            return status;
        if (field->value > bytes_left(message))
            return damaged(message, "cut field");
        field->bytes = message->cursor;
        message->cursor += field->value;
        return STATUS_OK;
    }
    return damaged(message, "unknown kind of field");
}

/* The message inside a field of WIRE_BYTES. */
static struct message inner(const struct message *message, const struct field *field)
{
    return (struct message){message->file, message->name, field->bytes,
                            field->bytes + field->value};
}

static bool is_field(const struct field *field, uint64_t number, enum wire_type type)
{
    return field->number == number && field->type == type;
}

static enum status check_piece_text(const struct message *message, const struct field *field)
{
    if (field->value == 0)
        return damaged(message, "empty piece");
    if (field->value > SUBWORD_MAX_PIECE_BYTES)
        return damaged(message, "piece over 4096 bytes");
    if (memchr(field->bytes, '\0', field->value))
        return damaged(message, "piece with a NUL byte");
    if (utf8_valid_prefix(field->bytes, field->value) != field->value)
        return damaged(message, "piece that is not UTF-8");
    return STATUS_OK;
}

static enum status check_piece(struct message message)
{
    bool has_text = false;
    while (bytes_left(&message)) {
        struct field field;
        enum status status = read_field(&message, &field);
        if (status == STATUS_OK && is_field(&field, PIECE_TEXT, WIRE_BYTES)) {
            has_text = true;
            status = check_piece_text(&message, &field);
        }
        if (status < 0)
            return status;
        if (is_field(&field, PIECE_SCORE, WIRE_FIXED32)) {
            const uint32_t bits = (uint32_t)field.value;
            float score = 0;
            memcpy(&score, &bits, sizeof score);
            if (!isfinite(score) || fabsf(score) > LARGEST_SCORE)
                return damaged(&message, "piece score out of range");
        }
    }
    return has_text ? STATUS_OK : damaged(&message, "piece without text");
}

static enum status check_trainer(struct message message, struct subword_file *file)
{
    while (bytes_left(&message)) {
        struct field field;
        const enum status status = read_field(&message, &field);
        if (status < 0)
            return status;
        if (is_field(&field, TRAINER_METHOD, WIRE_VARINT)) {
            if (field.value < SUBWORD_METHOD_UNIGRAM || field.value > SUBWORD_METHOD_CHARACTER)
                return damaged(&message, "unknown model type");
            file->method = (enum subword_method)field.value;
        }
        if (is_field(&field, TRAINER_BYTE_FALLBACK, WIRE_VARINT))
            file->has_byte_fallback = field.value != 0;
    }
    return STATUS_OK;
}

static uint32_t word_at(const char *bytes)
{
    const uint8_t *byte = (const uint8_t *)bytes;
    return byte[0] | (uint32_t)byte[1] << 8 | (uint32_t)byte[2] << 16 | (uint32_t)byte[3] << 24;
}

/* A normaliser's table: the size of a double-array trie (4 bytes), the trie (units of 4 bytes),
 * and the replacement strings, each ended by NUL.
 *
 * A unit with bit 31 holds the value of a leaf, the start of a string. Any other is a node, and
 * unit 0 is one whatever its bit 31 says: bits 0-7 are its label, bit 8 tells that a leaf hangs
 * here, the rest is an offset. A walk goes from node i by byte b to node i ^ offset ^ b if b is
 * the label of that, and finds the leaf of i at i ^ offset. */
struct trie {
    const char *units;
    uint64_t n_units;
    uint8_t *leaves; /* [n_units] most leaves on a way down from here, plus 1; 0: not known yet */
};

static const uint32_t UNIT_IS_VALUE = 1u << 31;
static const uint32_t UNIT_HAS_LEAF = 1u << 8;

enum {
    TRIE_MAX_DEPTH = 200,
    TRIE_MAX_LEAVES = 32, /* on one way: the library collects them in an array of this size */
    TRIE_ON_THE_WAY = 255 /* in `leaves`: a node above the one at hand */
};

static uint32_t unit_at(const struct trie *trie, uint64_t i)
{
    return word_at(trie->units + 4 * i);
}

static uint64_t target_of(uint64_t i, uint32_t unit)
{
    return i ^ (uint64_t)(unit >> 10) << ((unit & (1u << 9)) >> 6);
}

/* Most leaves that a walk from node i can pass, i included; above TRIE_MAX_LEAVES where the walk
 * can go in a circle or is too deep. All targets are inside. */
static int most_leaves(struct trie *trie, uint64_t i, int depth)
{
    if (trie->leaves[i] == TRIE_ON_THE_WAY || depth > TRIE_MAX_DEPTH)
        return TRIE_MAX_LEAVES + 1;
    if (trie->leaves[i])
        return trie->leaves[i] - 1;
    trie->leaves[i] = TRIE_ON_THE_WAY;
    const uint32_t unit = unit_at(trie, i);
    int most = 0;
    for (uint32_t byte = 0; byte < 256 && most <= TRIE_MAX_LEAVES; byte++) {
        const uint64_t child = target_of(i, unit) ^ byte;
        if ((unit_at(trie, child) & (UNIT_IS_VALUE | 0xFFu)) != byte)
            continue;
        const int below = most_leaves(trie, child, depth + 1);
        most = below > most ? below : most;
    }
    most += (unit & UNIT_HAS_LEAF) != 0;
    trie->leaves[i] = (uint8_t)(most + 1);
    return most;
}

/* Every node's targets must be inside the trie, and every string inside the strings. */
static const char *find_stray_unit(const struct trie *trie, uint64_t strings_bytes)
{
    for (uint64_t i = 0; i < trie->n_units; i++) {
        const uint32_t unit = unit_at(trie, i);
        if ((unit & UNIT_IS_VALUE) && i > 0)
            continue;
        const uint64_t target = target_of(i, unit);
        if ((target | 0xFF) >= trie->n_units)
            return "normaliser table that points outside itself";
        if ((unit & UNIT_HAS_LEAF) && (unit_at(trie, target) & ~UNIT_IS_VALUE) >= strings_bytes)
            return "normaliser string outside its table";
    }
    return NULL;
}

static enum status check_charsmap(const struct message *message, const struct field *field)
{
    if (field->value == 0)
        return STATUS_OK;
    if (field->value < 5)
        return damaged(message, "cut normaliser table");
    const uint64_t trie_bytes = word_at(field->bytes);
    if (trie_bytes >= field->value - 4 || trie_bytes % 4 != 0 || trie_bytes == 0)
        return damaged(message, "normaliser table of a wrong size");
    if (field->bytes[field->value - 1] != '\0')
        return damaged(message, "normaliser strings without an end");
    struct trie trie = {.units = field->bytes + 4, .n_units = trie_bytes / 4};
    const char *why = find_stray_unit(&trie, field->value - 4 - trie_bytes);
    if (why)
        return damaged(message, why);
    trie.leaves = calloc(trie.n_units, 1);
    if (!trie.leaves)
        return status_set(STATUS_MEMORY, "no memory to check %s", message->name);
    const int most = most_leaves(&trie, 0, 0);
    free(trie.leaves);
    return most <= TRIE_MAX_LEAVES ? STATUS_OK : damaged(message, "endless normaliser table");
}

static enum status check_normalizer(struct message message)
{
    while (bytes_left(&message)) {
        struct field field;
        enum status status = read_field(&message, &field);
        if (status == STATUS_OK && is_field(&field, NORMALIZER_CHARSMAP, WIRE_BYTES))
            status = check_charsmap(&message, &field);
        if (status < 0)
            return status;
    }
    return STATUS_OK;
}

enum status subword_file_check(const char *bytes, size_t size, const char *name,
                               struct subword_file *file)
{
    *file = (struct subword_file){.method = SUBWORD_METHOD_UNIGRAM};
    struct message model = {bytes, name, bytes, bytes + size};
    if (size == 0)
        return damaged(&model, "no bytes");
    if (size > SUBWORD_MAX_FILE_BYTES)
        return damaged(&model, "more than 256 MiB");
    bool has_trainer = false, has_normalizer = false;
    while (bytes_left(&model)) {
        struct field field;
        enum status status = read_field(&model, &field);
        if (status < 0)
            return status;
        has_trainer |= is_field(&field, MODEL_TRAINER, WIRE_BYTES);
        has_normalizer |= is_field(&field, MODEL_NORMALIZER, WIRE_BYTES);
        if (is_field(&field, MODEL_PIECES, WIRE_BYTES)) {
            if (++file->n_pieces > SUBWORD_MAX_PIECES)
                return damaged(&model, "too many pieces");
            status = check_piece(inner(&model, &field));
        } else if (is_field(&field, MODEL_TRAINER, WIRE_BYTES)) {
            status = check_trainer(inner(&model, &field), file);
        } else if (is_field(&field, MODEL_NORMALIZER, WIRE_BYTES) ||
                   is_field(&field, MODEL_DENORMALIZER, WIRE_BYTES)) {
            status = check_normalizer(inner(&model, &field));
        }
        if (status < 0)
            return status;
    }
    if (!file->n_pieces)
        return damaged(&model, "no pieces");
    /* Written after the pieces, always: without them the file was cut between two fields. */
    return has_trainer && has_normalizer ? STATUS_OK : damaged(&model, "it ends too early");
}
