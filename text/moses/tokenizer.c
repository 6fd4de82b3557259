/* Tokens as tokenizer.perl makes them: its rules one after another, each a pass over the line.
 *
 * A rule looks at the character before and after a mark, and the one after is used up: it cannot
 * stand before the next mark. What the script does with a regular expression is therefore done by
 * the same steps here. */
#include <string.h>

#include "text/moses/abbreviation.h"
#include "text/moses/step.h"

/* Control characters are gone after clean(), so one of them can stand for each dot of a run. */
enum { RUN_DOT = 0x01 };

/* Bytes that join_words() may make of one: ".'" becomes " . ' ", and a space may go before it. */
enum { MOST_GROWTH = 3 };

/* What a neighbour must be; all zero: anything, even missing. */
struct condition {
    uint8_t any;  /* has one of these classes */
    uint8_t none; /* has none of these classes */
    char exactly; /* or is this one */
};

/* Puts text in the place of a mark whose neighbours meet the conditions. */
struct rule {
    char mark;
    struct condition before, after;
    bool leaves_after; /* the neighbour after is looked at but not used up */
    const char *text;
};

enum {
    ALPHA = CHARACTER_ALPHA,
    ALNUM = CHARACTER_ALNUM,
    NUMBER = CHARACTER_NUMBER,
};

static const struct rule hyphen_rules[] = {
    {'-', {.any = ALNUM}, {.any = ALNUM}, true, " @-@ "},
};

static const struct rule comma_rules[] = {
    {',', {.none = NUMBER}, {0}, false, " , "},
    {',', {0}, {.none = NUMBER}, false, " , "},
};

/* don't -> don 't, and 1990's -> 1990 's */
static const struct rule english_rules[] = {
    {'\'', {.none = ALPHA}, {.none = ALPHA}, false, " ' "},
    {'\'', {.none = ALPHA | NUMBER}, {.any = ALPHA}, false, " ' "},
    {'\'', {.any = ALPHA}, {.none = ALPHA}, false, " ' "},
    {'\'', {.any = ALPHA}, {.any = ALPHA}, false, " '"},
    {'\'', {.any = NUMBER}, {.exactly = 's'}, false, " '"},
};

/* l'homme -> l' homme */
static const struct rule french_rules[] = {
    {'\'', {.none = ALPHA}, {.none = ALPHA}, false, " ' "},
    {'\'', {.none = ALPHA}, {.any = ALPHA}, false, " ' "},
    {'\'', {.any = ALPHA}, {.none = ALPHA}, false, " ' "},
    {'\'', {.any = ALPHA}, {.any = ALPHA}, false, "' "},
};

static const struct rule german_rules[] = {
    {'\'', {0}, {0}, false, " ' "},
};

#define APPLY_RULES(moses, work, rules)                                                            \
    apply_rules(moses, work, rules, sizeof(rules) / sizeof((rules)[0]))

static bool is_needed(const struct condition *condition)
{
    return condition->any || condition->none || condition->exactly;
}

static bool is_met(const struct condition *condition, uint8_t classes, char first_byte)
{
    if (condition->exactly)
        return first_byte == condition->exactly;
    return condition->any ? (classes & condition->any) != 0 : (classes & condition->none) == 0;
}

/* Whether the character before text[offset], which must begin at free_from or later, is right. */
static bool is_right_before(const struct moses *moses, const struct buffer *text,
                            const struct condition *condition, size_t offset, size_t free_from)
{
    if (!is_needed(condition))
        return true;
    if (offset <= free_from)
        return false;
    size_t start = 0;
    const uint8_t classes = character_before(&moses->characters, text->data, offset, &start);
    return is_met(condition, classes, text->data[start]);
}

/* Whether the character at *offset is right; moves behind it. */
static bool is_right_after(const struct moses *moses, const struct buffer *text,
                           const struct condition *condition, size_t *offset)
{
    if (!is_needed(condition))
        return true;
    if (*offset >= text->size)
        return false;
    const char first_byte = text->data[*offset];
    const uint8_t classes = character_next(&moses->characters, text->data, offset);
    return is_met(condition, classes, first_byte);
}

static enum status apply_rule(const struct moses *moses, struct moses_work *work,
                              const struct rule *rule)
{
    struct edit edit = {.work = work};
    const struct buffer *text = &work->text;
    size_t free_from = 0;
    for (size_t offset = 0; offset < text->size; offset++) {
        const char *mark = memchr(text->data + offset, rule->mark, text->size - offset);
        if (mark == NULL)
            break;
        offset = (size_t)(mark - text->data);
        size_t end = offset + 1;
        if (!is_right_before(moses, text, &rule->before, offset, free_from) ||
            !is_right_after(moses, text, &rule->after, &end))
            continue;
        free_from = rule->leaves_after ? offset + 1 : end;
        const enum status status =
            edit_replace(&edit, offset, offset + 1, rule->text, strlen(rule->text));
        if (status < 0)
            return status;
        offset = free_from - 1;
    }
    return edit_finish(&edit);
}

static enum status apply_rules(const struct moses *moses, struct moses_work *work,
                               const struct rule *rules, size_t n_rules)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < n_rules && status == STATUS_OK; i++)
        status = apply_rule(moses, work, &rules[i]);
    return status;
}

/* What clean() does with a character. */
enum action { KEEP, SEPARATE, DROP, BLANK };

static enum action action_of(uint8_t classes, char first_byte)
{
    if (classes & CHARACTER_ALNUM)
        return KEEP;
    if (classes & CHARACTER_SPACE)
        return BLANK;
    if ((uint8_t)first_byte < ' ')
        return DROP;
    return first_byte != '\0' && strchr(".,'-`", first_byte) != NULL ? KEEP : SEPARATE;
}

/* Copies letters and digits of ASCII, of which most text is made, up to anything else; returns
 * where that is in the text. */
static size_t copy_plain(const struct character_table *characters, const struct buffer *text,
                         size_t offset, char **to)
{
    const uint8_t *from = (const uint8_t *)text->data;
    char *place = *to;
    for (; offset < text->size; offset++) {
        if (from[offset] >= 0x80 || !(characters->classes[from[offset]] & CHARACTER_ALNUM))
            break;
        *place++ = (char)from[offset];
    }
    *to = place;
    return offset;
}

/* Makes runs of white space one space and takes them off the ends, takes control characters out,
 * and puts spaces around all that is neither a letter, a digit nor one of . , ' - ` */
static enum status clean(const struct moses *moses, struct moses_work *work)
{
    const struct buffer *text = &work->text;
    buffer_clear(&work->spare);
    const enum status status = buffer_reserve(&work->spare, 3 * text->size);
    if (status < 0)
        return status;
    const char *const start = work->spare.data;
    char *to = work->spare.data;
    bool wants_space = false;
    for (size_t offset = 0; offset < text->size;) {
        size_t next = offset;
        const uint8_t classes = character_next(&moses->characters, text->data, &next);
        const enum action action = action_of(classes, text->data[offset]);
        wants_space = wants_space || action == BLANK;
        if (action == KEEP || action == SEPARATE) {
            if (wants_space && to > start)
                *to++ = ' ';
            wants_space = false;
            if (action == SEPARATE)
                *to++ = ' ';
            for (; offset < next; offset++)
                *to++ = text->data[offset];
            if (action == SEPARATE)
                *to++ = ' ';
            next = copy_plain(&moses->characters, text, next, &to);
        }
        offset = next;
    }
    *to = '\0';
    work->spare.size = (size_t)(to - start);
    moses_take_spare(work);
    return STATUS_OK;
}

/* Sets runs of two dots and more apart, as RUN_DOTs. */
static enum status split_dot_runs(struct moses_work *work)
{
    struct edit edit = {.work = work};
    struct buffer *text = &work->text;
    enum status status = STATUS_OK;
    size_t offset = 0;
    while (offset < text->size && status == STATUS_OK) {
        const char *dot = memchr(text->data + offset, '.', text->size - offset);
        if (dot == NULL)
            break;
        const size_t start = (size_t)(dot - text->data);
        for (offset = start; offset < text->size && text->data[offset] == '.';)
            offset++;
        if (offset == start + 1)
            continue;
        memset(text->data + start, RUN_DOT, offset - start);
        status = edit_replace(&edit, start, start, " ", 1);
        if (status == STATUS_OK && offset < text->size)
            status = edit_replace(&edit, offset, offset, " ", 1);
    }
    return status < 0 ? status : edit_finish(&edit);
}

/* A comma at the end of the line, after a number. */
static enum status split_last_comma(const struct moses *moses, struct moses_work *work)
{
    const struct buffer *text = &work->text;
    if (text->size < 2 || text->data[text->size - 1] != ',')
        return STATUS_OK;
    size_t start = 0;
    const uint8_t before = character_before(&moses->characters, text->data, text->size - 1, &start);
    if (!(before & CHARACTER_NUMBER))
        return STATUS_OK;
    struct edit edit = {.work = work};
    const enum status status = edit_replace(&edit, text->size - 1, text->size, " ,", 2);
    return status < 0 ? status : edit_finish(&edit);
}

static enum status split_apostrophes(const struct moses *moses, struct moses_work *work)
{
    switch (moses->options.language) {
    case MOSES_ENGLISH:
        return APPLY_RULES(moses, work, english_rules);
    case MOSES_GERMAN:
        return APPLY_RULES(moses, work, german_rules);
    case MOSES_FRENCH:
        return APPLY_RULES(moses, work, french_rules);
    }
    CHECK(false, "language %d", (int)moses->options.language);
    return STATUS_FAILED;
}

/* A dot before the end of the word, and a letter. */
static bool has_inner_dot(const struct moses *moses, const char *word, size_t size)
{
    bool has_letter = false;
    if (memchr(word, '.', size) == NULL)
        return false;
    for (size_t offset = 0; offset < size && !has_letter;)
        has_letter = (character_next(&moses->characters, word, &offset) & CHARACTER_ALPHA) != 0;
    return has_letter;
}

/* Whether the dot at the end of text[start, end) stays with its word. What follows the space after
 * a word decides; after a second space that is nothing. */
static bool keeps_dot(const struct moses *moses, const struct buffer *text, size_t start,
                      size_t end, bool is_last)
{
    const struct moses_options *options = &moses->options;
    if (is_last && options->release != MOSES_RELEASE_4)
        return false;
    const char *word = text->data + start;
    const size_t size = end - start - 1;
    if (has_inner_dot(moses, word, size))
        return true;
    const enum abbreviation found =
        abbreviation_find(options->language, options->release, word, size);
    if (found == ABBREVIATION_ALWAYS)
        return true;
    if (is_last)
        return false;
    size_t next = end + 1;
    const char first_byte = text->data[next];
    if (found == ABBREVIATION_BEFORE_DIGITS && first_byte >= '0' && first_byte <= '9')
        return true;
    return (character_next(&moses->characters, text->data, &next) & CHARACTER_LOWER) != 0;
}

static void put(struct moses_work *work, const void *bytes, size_t size)
{
    memcpy(work->spare.data + work->spare.size, bytes, size);
    work->spare.size += size;
}

/* Puts text[start, end), the final dot as a word of its own where it does not stay. */
static void put_word(const struct moses *moses, struct moses_work *work, size_t start, size_t end,
                     bool is_last)
{
    const struct buffer *text = &work->text;
    const char *word = text->data + start;
    const size_t size = end - start;
    if (work->spare.size > 0)
        put(work, " ", 1);
    if (is_last && size >= 2 && memcmp(word + size - 2, ".'", 2) == 0) {
        /* The script adds spaces here after it has cleaned them up, so they stay. */
        put(work, word, size - 2);
        put(work, " . ' ", 5);
    } else if (size >= 2 && word[size - 1] == '.' && !keeps_dot(moses, text, start, end, is_last)) {
        put(work, word, size - 1);
        put(work, " .", 2);
    } else {
        put(work, word, size);
    }
}

/* Joins the words that are not empty by single spaces. */
static enum status join_words(const struct moses *moses, struct moses_work *work)
{
    const struct buffer *text = &work->text;
    size_t size = text->size;
    while (size > 0 && text->data[size - 1] == ' ')
        size--;
    buffer_clear(&work->spare);
    const enum status status = buffer_reserve(&work->spare, MOST_GROWTH * size);
    if (status < 0)
        return status;
    for (size_t start = 0, end = 0; start < size; start = end + 1) {
        const char *space = memchr(text->data + start, ' ', size - start);
        end = space ? (size_t)(space - text->data) : size;
        if (end > start)
            put_word(moses, work, start, end, end == size);
    }
    work->spare.data[work->spare.size] = '\0';
    moses_take_spare(work);
    return STATUS_OK;
}

static void restore_dot_runs(struct buffer *text)
{
    char *end = text->data + text->size;
    for (char *dot = text->data; (dot = memchr(dot, RUN_DOT, (size_t)(end - dot))) != NULL; dot++)
        *dot = '.';
}

/* Names the characters that mean something to Moses or in XML. */
static enum status escape(struct moses_work *work)
{
    static const struct {
        const char *name;
        size_t size;
    } escapes['|' + 1] = {
        ['&'] = {"&amp;", 5},   ['|'] = {"&#124;", 6}, ['<'] = {"&lt;", 4},  ['>'] = {"&gt;", 4},
        ['\''] = {"&apos;", 6}, ['"'] = {"&quot;", 6}, ['['] = {"&#91;", 5}, [']'] = {"&#93;", 5},
    };
    struct edit edit = {.work = work};
    const struct buffer *text = &work->text;
    for (size_t i = 0; i < text->size; i++) {
        const uint8_t byte = (uint8_t)text->data[i];
        if (byte > '|' || escapes[byte].size == 0)
            continue;
        const enum status status =
            edit_replace(&edit, i, i + 1, escapes[byte].name, escapes[byte].size);
        if (status < 0)
            return status;
    }
    return edit_finish(&edit);
}

static bool is_left_alone(const struct moses *moses, const struct buffer *text)
{
    const bool is_tag = text->size > 2 && text->data[0] == '<' && text->data[text->size - 1] == '>';
    return (is_tag && moses->options.skips_tags) ||
           character_is_blank(&moses->characters, text->data, text->size);
}

enum status moses_tokenize(const struct moses *moses, struct moses_work *work)
{
    if (is_left_alone(moses, &work->text))
        return STATUS_OK;
    enum status status = clean(moses, work);
    if (status == STATUS_OK && moses->options.splits_hyphens)
        status = APPLY_RULES(moses, work, hyphen_rules);
    if (status == STATUS_OK)
        status = split_dot_runs(work);
    if (status == STATUS_OK)
        status = APPLY_RULES(moses, work, comma_rules);
    if (status == STATUS_OK)
        status = split_last_comma(moses, work);
    if (status == STATUS_OK)
        status = split_apostrophes(moses, work);
    if (status == STATUS_OK)
        status = join_words(moses, work);
    if (status < 0)
        return status;
    restore_dot_runs(&work->text);
    return moses->options.keeps_special ? STATUS_OK : escape(work);
}
