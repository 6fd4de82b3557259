/* The tokenizer intl. */
#include <stdint.h>

#include "text/metric/tokenizer.h"
#include "text/metric/tokenizer_writer.h"
#include "text/metric/unicode_class.h"
#include "text/utf8.h"

/* A character of the line, or a space that a rule put in. */
struct character {
    const char *bytes; /* borrowed */
    size_t size;       /* 0 for white space of any kind */
    enum unicode_class class;
};

/* The rules are passes over the whole line, each reading what the one before it wrote, and each
 * eating the two characters it matches. Here a character runs through all of them at once:
 *
 * behind   punctuation behind a character that is no number stands alone. The pair is eaten, so the
 *          mark itself is not that character for a second mark.
 * ahead    punctuation ahead of a character that is no number stands alone, so a mark that is not
 *          alone yet waits for the next character. That character is eaten: a mark in its place
 *          does not look ahead.
 * symbol   a symbol stands alone. */
struct rules {
    struct writer writer;
    bool is_open;             /* behind: a mark that comes now follows an uneaten non-number */
    bool is_waiting;          /* ahead: there is a mark that waits */
    struct character waiting; /* that mark */
    struct unicode_span span; /* the last one looked up */
};

static const struct character space = {"", 0, UNICODE_OTHER};

static void rule_symbol(struct rules *rules, struct character character)
{
    if (character.size == 0)
        rules->writer.is_apart = true;
    else if (character.class == UNICODE_SYMBOL)
        writer_add_alone(&rules->writer, character.bytes, character.size);
    else
        writer_add(&rules->writer, character.bytes, character.size);
}

static void rule_ahead(struct rules *rules, struct character character)
{
    if (rules->is_waiting) {
        rules->is_waiting = false;
        if (character.class != UNICODE_NUMBER) {
            writer_add_alone(&rules->writer, rules->waiting.bytes, rules->waiting.size);
            rule_symbol(rules, character);
            return;
        }
        rule_symbol(rules, rules->waiting);
    }
    rules->is_waiting = character.class == UNICODE_PUNCTUATION;
    if (rules->is_waiting)
        rules->waiting = character;
    else
        rule_symbol(rules, character);
}

static void rule_behind(struct rules *rules, struct character character)
{
    if (character.class == UNICODE_PUNCTUATION && rules->is_open) {
        rule_ahead(rules, space);
        rule_ahead(rules, character);
        rule_ahead(rules, space);
        rules->is_open = false;
        return;
    }
    rule_ahead(rules, character);
    rules->is_open = character.class != UNICODE_NUMBER;
}

static bool is_letter(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

/* The character at the start of bytes, which is no white space. ASCII letters behind a first one
 * find every rule at rest: they all count as one character. */
static struct character next_character(struct rules *rules, const char *bytes, size_t size)
{
    struct character character = {.bytes = bytes, .class = UNICODE_OTHER};
    while (character.size < size && is_letter(bytes[character.size]))
        character.size++;
    if (character.size > 0)
        return character;
    const uint32_t code_point = utf8_next(bytes, size, &character.size);
    if (code_point < rules->span.first || code_point > rules->span.last)
        rules->span = unicode_span_of(code_point);
    character.class = rules->span.class;
    return character;
}

enum status tokenizer_intl(struct buffer *buffer, const char *line, size_t size)
{
    struct rules rules = {.span = unicode_span_of(0)};
    const enum status code = writer_start(&rules.writer, buffer, size);
    if (code < 0)
        return code;
    for (size_t i = 0; i < size;) {
        const size_t white = tokenizer_space_length(line + i, size - i);
        const struct character character =
            white > 0 ? space : next_character(&rules, line + i, size - i);
        rule_behind(&rules, character);
        i += white + character.size;
    }
    if (rules.is_waiting)
        rule_symbol(&rules, rules.waiting);
    writer_finish(&rules.writer, buffer);
    return STATUS_OK;
}
