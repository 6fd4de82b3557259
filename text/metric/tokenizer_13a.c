/* The tokenizers 13a and zh: the second is the first with Chinese characters set apart. */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "text/metric/tokenizer.h"
#include "text/metric/tokenizer_writer.h"
#include "text/utf8.h"

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
        writer_add_alone(&rules->writer, &byte, 1);
        rules->is_digit = false;
        return;
    }
    rules->is_digit = class_of(byte) == CLASS_DIGIT;
    if (byte == ' ')
        rules->writer.is_apart = true;
    else
        writer_add(&rules->writer, &byte, 1);
}

static void rule_ahead(struct rules *rules, char byte)
{
    const enum byte_class class = class_of(byte);
    const char waiting = rules->waiting;
    rules->waiting = 0;
    if (waiting != 0 && class != CLASS_DIGIT) {
        writer_add_alone(&rules->writer, &waiting, 1);
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
 * rule at rest and are only copied. Returns the size of the run. Above `last` no byte is copied. */
static size_t rule_plain(struct rules *rules, const char *bytes, size_t size, unsigned char last)
{
    rule_behind(rules, bytes[0]);
    size_t run = 1;
    char *end = rules->writer.end;
    while (run < size && class_of(bytes[run]) == CLASS_PLAIN && (unsigned char)bytes[run] <= last)
        *end++ = bytes[run++];
    rules->writer.end = end;
    return run;
}

/* Takes what is at the start of bytes through the rules and returns its size; last as above. */
static size_t rule_any(struct rules *rules, const char *bytes, size_t size, unsigned char last)
{
    const enum byte_class class = class_of(bytes[0]);
    const size_t space = tokenizer_space_length(bytes, size);
    if (space > 0)
        rule_behind(rules, ' ');
    else if (class == CLASS_PLAIN)
        return rule_plain(rules, bytes, size, last);
    else if (class == CLASS_SYMBOL)
        rule_symbol(rules, bytes[0]);
    else
        rule_behind(rules, bytes[0]);
    return space > 0 ? space : 1;
}

static enum status append_13a(struct buffer *buffer, const char *line, size_t size)
{
    struct rules rules = {.is_open = true}; /* as if behind a space */
    const enum status code = writer_start(&rules.writer, buffer, size);
    if (code < 0)
        return code;
    for (size_t i = 0; i < size;)
        i += rule_any(&rules, line + i, size - i, 0xFF);
    rule_behind(&rules, ' '); /* the end of the line counts as a space */
    writer_finish(&rules.writer, buffer);
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
        return append_13a(buffer, line, size);
    struct buffer decoded = {0};
    enum status code = buffer_append(&decoded, line, size);
    if (code == STATUS_OK) {
        size_t left = replace_all(decoded.data, size, "<skipped>", "");
        left = replace_all(decoded.data, left, "&quot;", "\"");
        left = replace_all(decoded.data, left, "&amp;", "&");
        left = replace_all(decoded.data, left, "&lt;", "<");
        left = replace_all(decoded.data, left, "&gt;", ">");
        code = append_13a(buffer, decoded.data, left);
    }
    buffer_free(&decoded);
    return code;
}

/* First byte of the first character that counts as Chinese, U+2001. */
enum { FIRST_CHINESE_LEAD = 0xE2 };

/* Bytes of the Chinese character at the start of bytes [size], 0 where there is none. White space
 * among them is none: to set it apart changes nothing. */
static size_t chinese_length(const char *bytes, size_t size)
{
    static const uint32_t ranges[][2] = {
        {0x2001, 0x2A6D}, {0x2E80, 0x2FDF}, {0x2FF0, 0x303F}, {0x3100, 0x312F}, {0x31A0, 0x31EF},
        {0x3200, 0x4DB5}, {0x4E00, 0x9FBB}, {0xF900, 0xFA2D}, {0xFA30, 0xFA6A}, {0xFA70, 0xFAD9},
        {0xFE10, 0xFE1F}, {0xFE30, 0xFE4F}, {0xFF00, 0xFFEF},
    };
    if ((unsigned char)bytes[0] < FIRST_CHINESE_LEAD || tokenizer_space_length(bytes, size) > 0)
        return 0;
    size_t length = 0;
    const uint32_t code_point = utf8_next(bytes, size, &length);
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0] && code_point >= ranges[i][0]; i++) {
        if (code_point <= ranges[i][1])
            return length;
    }
    return 0;
}

enum status tokenizer_zh(struct buffer *buffer, const char *line, size_t size)
{
    struct rules rules = {.is_open = false}; /* nothing is in front of the first character */
    size_t i = 0, space;
    size = tokenizer_strip_end(line, size);
    while ((space = tokenizer_space_length(line + i, size - i)) > 0)
        i += space;
    const enum status code = writer_start(&rules.writer, buffer, size);
    if (code < 0)
        return code;
    while (i < size) {
        const size_t chinese = chinese_length(line + i, size - i);
        if (chinese == 0) {
            i += rule_any(&rules, line + i, size - i, FIRST_CHINESE_LEAD - 1);
            continue;
        }
        rule_behind(&rules, ' ');
        for (const size_t end = i + chinese; i < end; i++)
            rule_behind(&rules, line[i]);
        rule_behind(&rules, ' ');
    }
    if (rules.waiting != 0) /* nothing is behind the last character */
        rule_hyphen(&rules, rules.waiting);
    writer_finish(&rules.writer, buffer);
    return STATUS_OK;
}
