#include "text/metric/tokenizer_13a.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* What a byte can do in the rules below. */
enum byte_class {
    CLASS_PLAIN, /* letters, the apostrophe, and most bytes outside ASCII */
    CLASS_DIGIT, /* 0 to 9 */
    CLASS_STOP,  /* full stop and comma */
    CLASS_HYPHEN,
    CLASS_SYMBOL, /* always a token of its own */
    CLASS_SPACE,  /* ASCII white space */
    CLASS_LEAD    /* first byte of a longer character that may be white space */
};

static const uint8_t byte_classes[256] = {
    [0x09] = CLASS_SPACE, [0x0A] = CLASS_SPACE, [0x0B] = CLASS_SPACE,  [0x0C] = CLASS_SPACE,
    [0x0D] = CLASS_SPACE, [0x1C] = CLASS_SPACE, [0x1D] = CLASS_SPACE,  [0x1E] = CLASS_SPACE,
    [0x1F] = CLASS_SPACE, [' '] = CLASS_SPACE,  ['!'] = CLASS_SYMBOL,  ['"'] = CLASS_SYMBOL,
    ['#'] = CLASS_SYMBOL, ['$'] = CLASS_SYMBOL, ['%'] = CLASS_SYMBOL,  ['&'] = CLASS_SYMBOL,
    ['('] = CLASS_SYMBOL, [')'] = CLASS_SYMBOL, ['*'] = CLASS_SYMBOL,  ['+'] = CLASS_SYMBOL,
    [','] = CLASS_STOP,   ['-'] = CLASS_HYPHEN, ['.'] = CLASS_STOP,    ['/'] = CLASS_SYMBOL,
    ['0'] = CLASS_DIGIT,  ['1'] = CLASS_DIGIT,  ['2'] = CLASS_DIGIT,   ['3'] = CLASS_DIGIT,
    ['4'] = CLASS_DIGIT,  ['5'] = CLASS_DIGIT,  ['6'] = CLASS_DIGIT,   ['7'] = CLASS_DIGIT,
    ['8'] = CLASS_DIGIT,  ['9'] = CLASS_DIGIT,  [':'] = CLASS_SYMBOL,  [';'] = CLASS_SYMBOL,
    ['<'] = CLASS_SYMBOL, ['='] = CLASS_SYMBOL, ['>'] = CLASS_SYMBOL,  ['?'] = CLASS_SYMBOL,
    ['@'] = CLASS_SYMBOL, ['['] = CLASS_SYMBOL, ['\\'] = CLASS_SYMBOL, [']'] = CLASS_SYMBOL,
    ['^'] = CLASS_SYMBOL, ['_'] = CLASS_SYMBOL, ['`'] = CLASS_SYMBOL,  ['{'] = CLASS_SYMBOL,
    ['|'] = CLASS_SYMBOL, ['}'] = CLASS_SYMBOL, ['~'] = CLASS_SYMBOL,  [0xC2] = CLASS_LEAD,
    [0xE1] = CLASS_LEAD,  [0xE2] = CLASS_LEAD,  [0xE3] = CLASS_LEAD,
};

static enum byte_class class_of(char byte)
{
    return (enum byte_class)byte_classes[(unsigned char)byte];
}

static bool is_space_3(unsigned char second, unsigned char third, unsigned char lead)
{
    if (lead == 0xE1)
        return second == 0x9A && third == 0x80; /* U+1680 */
    if (lead == 0xE3)
        return second == 0x80 && third == 0x80; /* U+3000 */
    if (lead != 0xE2)
        return false;
    if (second == 0x80)
        return (third >= 0x80 && third <= 0x8A) || third == 0xA8 || third == 0xA9 || third == 0xAF;
    return second == 0x81 && third == 0x9F; /* U+205F */
}

size_t tokenizer_space_length(const char *bytes, size_t size)
{
    if (size == 0)
        return 0;
    const enum byte_class class = class_of(bytes[0]);
    if (class == CLASS_SPACE)
        return 1;
    if (class != CLASS_LEAD)
        return 0;
    const unsigned char lead = (unsigned char)bytes[0];
    const unsigned char second = size > 1 ? (unsigned char)bytes[1] : 0;
    if (lead == 0xC2)
        return second == 0x85 || second == 0xA0 ? 2 : 0;
    const unsigned char third = size > 2 ? (unsigned char)bytes[2] : 0;
    return is_space_3(second, third, lead) ? 3 : 0;
}

size_t tokenizer_strip_end(const char *line, size_t size)
{
    while (size > 0) {
        size_t last = size - 1;
        while (last > 0 && size - last < 3 && ((unsigned char)line[last] & 0xC0) == 0x80)
            last--;
        const size_t space = tokenizer_space_length(line + last, size - last);
        if (space == 0 || space != size - last)
            break;
        size = last;
    }
    return size;
}

/* The tokens as they are written: a space goes in front of a token, not behind it. */
struct writer {
    char *start;
    char *end;
    bool is_apart; /* the next byte starts a token */
};

static void write_byte(struct writer *writer, char byte)
{
    if (writer->is_apart && writer->end != writer->start)
        *writer->end++ = ' ';
    writer->is_apart = false;
    *writer->end++ = byte;
}

static void write_alone(struct writer *writer, char byte)
{
    writer->is_apart = true;
    write_byte(writer, byte);
    writer->is_apart = true;
}

/* The rules are passes over the whole line, each reading what the one before it wrote, and each
 * eating the two characters it matches. Here a byte runs through all of them at once:
 *
 * behind    a full stop or comma behind a character that is no digit stands alone. The pair is
 *           eaten, so the stop itself is not that character for a second stop ("a..b").
 * ahead     a full stop or comma ahead of a character that is no digit stands alone, so one that
 *           is not alone yet waits for the next character. That character is eaten: a stop in its
 *           place does not look ahead.
 * hyphen    a hyphen right behind a digit stands alone. */
struct rules {
    struct writer writer;
    bool is_open;  /* behind: a stop that comes now follows an uneaten non-digit */
    char waiting;  /* ahead: the stop that waits, or 0 */
    bool is_digit; /* hyphen: the last byte was a digit */
};

static void rule_hyphen(struct rules *rules, char byte)
{
    if (byte == '-' && rules->is_digit) {
        write_alone(&rules->writer, byte);
        rules->is_digit = false;
        return;
    }
    rules->is_digit = class_of(byte) == CLASS_DIGIT;
    if (byte == ' ')
        rules->writer.is_apart = true;
    else
        write_byte(&rules->writer, byte);
}

static void rule_ahead(struct rules *rules, char byte)
{
    const enum byte_class class = class_of(byte);
    const char waiting = rules->waiting;
    rules->waiting = 0;
    if (waiting != 0 && class != CLASS_DIGIT) {
        write_alone(&rules->writer, waiting);
        rules->is_digit = false;
        rule_hyphen(rules, byte);
        return;
    }
    if (waiting != 0)
        rule_hyphen(rules, waiting);
    if (class == CLASS_STOP)
        rules->waiting = byte;
    else
        rule_hyphen(rules, byte);
}

static void rule_behind(struct rules *rules, char byte)
{
    const enum byte_class class = class_of(byte);
    if (class == CLASS_STOP && rules->is_open) {
        rule_ahead(rules, ' ');
        rule_ahead(rules, byte);
        rule_ahead(rules, ' ');
        rules->is_open = false;
        return;
    }
    rule_ahead(rules, byte);
    rules->is_open = class != CLASS_DIGIT;
}

static void rule_symbol(struct rules *rules, char byte)
{
    rule_behind(rules, ' ');
    rule_behind(rules, byte);
    rule_behind(rules, ' ');
}

/* A byte without a rule, and the run of such bytes behind it: from the second on they find every
 * rule at rest and are only copied. Returns the size of the run. */
static size_t rule_plain(struct rules *rules, const char *bytes, size_t size)
{
    rule_behind(rules, bytes[0]);
    size_t run = 1;
    char *end = rules->writer.end;
    while (run < size && class_of(bytes[run]) == CLASS_PLAIN)
        *end++ = bytes[run++];
    rules->writer.end = end;
    return run;
}

/* Each byte gives at most itself and one space. */
static enum status start_writer(struct writer *writer, struct buffer *buffer, size_t size)
{
    const enum status code = buffer_reserve(buffer, 2 * size + 1);
    if (code < 0)
        return code;
    writer->start = buffer->data + buffer->size;
    writer->end = writer->start;
    writer->is_apart = false;
    return STATUS_OK;
}

static void finish_writer(const struct writer *writer, struct buffer *buffer)
{
    buffer->size += (size_t)(writer->end - writer->start);
    buffer->data[buffer->size] = '\0';
}

static enum status append_tokens(struct buffer *buffer, const char *line, size_t size)
{
    struct rules rules = {.is_open = true}; /* as if behind a space */
    const enum status code = start_writer(&rules.writer, buffer, size);
    if (code < 0)
        return code;
    for (size_t i = 0; i < size;) {
        const enum byte_class class = class_of(line[i]);
        const size_t space = tokenizer_space_length(line + i, size - i);
        if (space > 0) {
            rule_behind(&rules, ' ');
            i += space;
        } else if (class == CLASS_PLAIN) {
            i += rule_plain(&rules, line + i, size - i);
        } else if (class == CLASS_SYMBOL) {
            rule_symbol(&rules, line[i++]);
        } else {
            rule_behind(&rules, line[i++]);
        }
    }
    rule_behind(&rules, ' '); /* the end of the line counts as a space */
    finish_writer(&rules.writer, buffer);
    return STATUS_OK;
}

/* Replaces every `from` by the not longer `to`, left to right, and returns the new size. */
static size_t replace_all(char *text, size_t size, const char *from, const char *to)
{
    const size_t from_size = strlen(from), to_size = strlen(to);
    char *end = text + size, *read = text, *write = text;
    for (;;) {
        char *found = memmem(read, (size_t)(end - read), from, from_size);
        const size_t kept = (size_t)((found == NULL ? end : found) - read);
        memmove(write, read, kept);
        write += kept;
        if (found == NULL)
            return (size_t)(write - text);
        memcpy(write, to, to_size);
        write += to_size;
        read = found + from_size;
    }
}

enum status tokenizer_13a(struct buffer *buffer, const char *line, size_t size)
{
    const bool has_skipped = size > 0 && memmem(line, size, "<skipped>", 9) != NULL;
    if (!has_skipped && (size == 0 || memchr(line, '&', size) == NULL))
        return append_tokens(buffer, line, size);
    struct buffer decoded = {0};
    enum status code = buffer_append(&decoded, line, size);
    if (code == STATUS_OK) {
        size_t left = replace_all(decoded.data, size, "<skipped>", "");
        left = replace_all(decoded.data, left, "&quot;", "\"");
        left = replace_all(decoded.data, left, "&amp;", "&");
        left = replace_all(decoded.data, left, "&lt;", "<");
        left = replace_all(decoded.data, left, "&gt;", ">");
        code = append_tokens(buffer, decoded.data, left);
    }
    buffer_free(&decoded);
    return code;
}

enum status tokenizer_none(struct buffer *buffer, const char *line, size_t size)
{
    struct writer writer;
    const enum status code = start_writer(&writer, buffer, size);
    if (code < 0)
        return code;
    for (size_t i = 0; i < size;) {
        const size_t space = tokenizer_space_length(line + i, size - i);
        if (space > 0)
            writer.is_apart = true;
        else
            write_byte(&writer, line[i]);
        i += space > 0 ? space : 1;
    }
    finish_writer(&writer, buffer);
    return STATUS_OK;
}
