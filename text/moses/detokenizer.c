/* Text from tokens as detokenizer.perl makes it: word by word, each with a space before it or not.
 * Only its rules for English and French are special; German has the common ones. */
#include <string.h>

#include "text/moses/step.h"
#include "text/utf8.h"

struct word {
    const char *bytes;
    size_t size;
};

/* A word of quotation marks, and whether it stands open. Empty places have no bytes. */
struct mark {
    struct word key;
    bool is_open;
};

struct joiner {
    const struct moses *moses;
    struct moses_work *work; /* text: the words; spare: the result */
    struct word before;      /* bytes NULL: there is none */
    struct word word;
    struct word after;   /* bytes NULL: there is none */
    bool wants_space;    /* before the next word that is not empty */
    bool is_right_bound; /* the last word takes no space after it */
    size_t n_marks;
};

enum { FEWEST_MARKS = 8 };

/* Names of the characters that the tokenizer escapes, now and once. */
static const struct {
    const char *name;
    const char *text;
} escapes[] = {
    {"&amp;", "&"}, {"&apos;", "'"}, {"&quot;", "\""}, {"&lt;", "<"},
    {"&gt;", ">"},  {"&#124;", "|"}, {"&#91;", "["},   {"&#93;", "]"},
    {"&bar;", "|"}, {"&bra;", "["},  {"&ket;", "]"},
};

/* What the scripts call CJK: Chinese, Japanese, Korean, and what lies between. */
static const struct {
    uint32_t first, last;
} cjk_ranges[] = {
    {0x1100, 0x11FF}, {0x2E80, 0xA4CF}, {0xA840, 0xA87F}, {0xAC00, 0xD7AF},
    {0xF900, 0xFAFF}, {0xFE30, 0xFE4F}, {0xFF65, 0xFFDC}, {0x20000, 0x2FFFF},
};

static enum status unescape(struct moses_work *work)
{
    struct edit edit = {.work = work};
    const struct buffer *text = &work->text;
    const char *end = text->data + text->size;
    for (const char *name = text->data; (name = memchr(name, '&', (size_t)(end - name))); name++) {
        for (size_t i = 0; i < sizeof escapes / sizeof escapes[0]; i++) {
            const size_t size = strlen(escapes[i].name);
            if ((size_t)(end - name) < size || memcmp(name, escapes[i].name, size) != 0)
                continue;
            const size_t offset = (size_t)(name - text->data);
            const enum status status =
                edit_replace(&edit, offset, offset + size, escapes[i].text, 1);
            if (status < 0)
                return status;
            name += size - 1;
            break;
        }
    }
    return edit_finish(&edit);
}

static bool is_cjk(uint32_t code_point)
{
    for (size_t i = 0; i < sizeof cjk_ranges / sizeof cjk_ranges[0]; i++) {
        if (code_point >= cjk_ranges[i].first && code_point <= cjk_ranges[i].last)
            return true;
    }
    return false;
}

static bool starts_with_cjk(struct word word)
{
    size_t offset = 0;
    return word.size > 0 && is_cjk(utf8_next(word.bytes, word.size, &offset));
}

static size_t last_start(struct word word)
{
    size_t start = word.size - 1;
    while (start > 0 && ((uint8_t)word.bytes[start] & 0xC0) == 0x80)
        start--;
    return start;
}

static bool ends_with_cjk(struct word word)
{
    size_t offset = word.size > 0 ? last_start(word) : 0;
    return word.size > 0 && is_cjk(utf8_next(word.bytes, word.size, &offset));
}

static uint8_t classes_at(const struct joiner *joiner, struct word word, size_t offset)
{
    if (offset >= word.size)
        return 0;
    return character_next(&joiner->moses->characters, word.bytes, &offset);
}

static uint8_t last_classes(const struct joiner *joiner, struct word word)
{
    return word.size > 0 ? classes_at(joiner, word, last_start(word)) : 0;
}

static bool is_all_of(struct word word, const char *set)
{
    for (size_t i = 0; i < word.size; i++) {
        if (word.bytes[i] == '\0' || strchr(set, word.bytes[i]) == NULL)
            return false;
    }
    return word.size > 0;
}

/* Currency signs, opening brackets and Spanish opening marks. */
static bool is_opening(const struct joiner *joiner, struct word word)
{
    for (size_t offset = 0; offset < word.size;) {
        const size_t start = offset;
        const uint8_t classes = character_next(&joiner->moses->characters, word.bytes, &offset);
        const char *bytes = word.bytes + start;
        const bool is_spanish = bytes[0] == '\xC2' && (bytes[1] == '\xBF' || bytes[1] == '\xA1');
        if (!(classes & CHARACTER_CURRENCY) && !is_spanish && bytes[0] != '(' && bytes[0] != '[' &&
            bytes[0] != '{')
            return false;
    }
    return word.size > 0;
}

/* Whether the word is made of ' " ` and the German quotes; *is_german when of the last alone. */
static bool is_quote(struct word word, bool *is_german)
{
    *is_german = word.size > 0;
    for (size_t i = 0; i < word.size;) {
        const char *bytes = word.bytes + i;
        const bool is_plain = bytes[0] == '\'' || bytes[0] == '"' || bytes[0] == '`';
        const bool is_wide = word.size - i >= 3 &&
                             (memcmp(bytes, "\u201E", 3) == 0 || memcmp(bytes, "\u201C", 3) == 0);
        if (!is_plain && !is_wide)
            return false;
        *is_german = *is_german && is_wide;
        i += is_wide ? 3 : 1;
    }
    return word.size > 0;
}

static size_t hash(struct word key)
{
    uint64_t sum = UINT64_C(0xCBF29CE484222325); /* FNV-1a */
    for (size_t i = 0; i < key.size; i++)
        sum = (sum ^ (uint8_t)key.bytes[i]) * UINT64_C(0x100000001B3);
    return (size_t)(sum ^ sum >> 32);
}

/* The place of the key among the marks [n_places, a power of two], or the empty one for it. */
static struct mark *find_place(struct mark *marks, size_t n_places, struct word key)
{
    size_t place = hash(key) & (n_places - 1);
    while (marks[place].key.bytes != NULL &&
           (marks[place].key.size != key.size ||
            memcmp(marks[place].key.bytes, key.bytes, key.size) != 0))
        place = (place + 1) & (n_places - 1);
    return &marks[place];
}

/* Begins a line with a few empty places. */
static enum status clear_marks(struct buffer *places)
{
    const size_t size = FEWEST_MARKS * sizeof(struct mark);
    buffer_clear(places);
    const enum status status = buffer_reserve(places, size);
    if (status < 0)
        return status;
    memset(places->data, 0, size);
    places->size = size;
    return STATUS_OK;
}

static enum status double_marks(struct buffer *places)
{
    const size_t n_old = places->size / sizeof(struct mark);
    struct buffer grown = {0};
    const enum status status = buffer_reserve(&grown, 2 * places->size);
    if (status < 0)
        return status;
    grown.size = 2 * places->size;
    memset(grown.data, 0, grown.size);
    const struct mark *from = (const void *)places->data;
    for (size_t i = 0; i < n_old; i++) {
        if (from[i].key.bytes != NULL)
            *find_place((void *)grown.data, 2 * n_old, from[i].key) = from[i];
    }
    buffer_free(places);
    *places = grown;
    return STATUS_OK;
}

/* Makes room for one more mark, so that at least half of the places are empty. */
static enum status reserve_mark(struct joiner *joiner)
{
    struct buffer *places = &joiner->work->marks;
    if (joiner->n_marks == 0)
        return clear_marks(places);
    if (2 * joiner->n_marks < places->size / sizeof(struct mark))
        return STATUS_OK;
    return double_marks(places);
}

/* The mark of a word of quotes, closed where it is new. All German ones count as '"'. */
static enum status find_mark(struct joiner *joiner, bool is_german, struct mark **mark)
{
    const struct word key = is_german ? (struct word){"\"", 1} : joiner->word;
    const enum status status = reserve_mark(joiner);
    if (status < 0)
        return status;
    struct buffer *places = &joiner->work->marks;
    *mark = find_place((void *)places->data, places->size / sizeof(struct mark), key);
    if ((*mark)->key.bytes == NULL)
        joiner->n_marks++;
    (*mark)->key = key;
    return STATUS_OK;
}

/* Appends the word. is_left_bound: no space before it, unless an empty word left one. */
static enum status put(struct joiner *joiner, bool is_left_bound, bool is_right_bound)
{
    struct buffer *output = &joiner->work->spare;
    if (!is_left_bound && !joiner->is_right_bound)
        joiner->wants_space = true;
    joiner->is_right_bound = is_right_bound;
    if (joiner->word.size == 0)
        return STATUS_OK;
    enum status status = STATUS_OK;
    if (joiner->wants_space && output->size > 0)
        status = buffer_append(output, " ", 1);
    joiner->wants_space = false;
    return status < 0 ? status : buffer_append(output, joiner->word.bytes, joiner->word.size);
}

/* Quotes open and close in turn. In English a single one after an s is the genitive's. */
static enum status put_quote(struct joiner *joiner, bool is_german)
{
    struct mark *mark = NULL;
    const enum status status = find_mark(joiner, is_german, &mark);
    if (status < 0)
        return status;
    const struct word before = joiner->before;
    const bool is_single = joiner->word.size == 1 && joiner->word.bytes[0] == '\'';
    if (!mark->is_open && is_single && joiner->moses->options.language == MOSES_ENGLISH &&
        before.size > 0 && before.bytes[before.size - 1] == 's')
        return put(joiner, true, false);
    mark->is_open = !mark->is_open;
    return put(joiner, !mark->is_open, mark->is_open);
}

/* English: the 't of don 't. */
static bool is_contraction_end(const struct joiner *joiner)
{
    return joiner->moses->options.language == MOSES_ENGLISH && joiner->before.bytes != NULL &&
           joiner->word.size > 1 && joiner->word.bytes[0] == '\'' &&
           (classes_at(joiner, joiner->word, 1) & CHARACTER_ALPHA) &&
           (last_classes(joiner, joiner->before) & CHARACTER_ALNUM);
}

/* French: the l' of l' homme. */
static bool is_contraction_start(const struct joiner *joiner)
{
    struct word stem = joiner->word;
    if (joiner->moses->options.language != MOSES_FRENCH || joiner->after.bytes == NULL ||
        stem.size < 2 || stem.bytes[stem.size - 1] != '\'')
        return false;
    stem.size--;
    return (last_classes(joiner, stem) & CHARACTER_ALPHA) &&
           (classes_at(joiner, joiner->after, 0) & CHARACTER_ALPHA);
}

static enum status put_word(struct joiner *joiner)
{
    const struct word word = joiner->word;
    bool is_german = false;
    if (starts_with_cjk(word))
        return put(joiner, joiner->before.bytes != NULL && ends_with_cjk(joiner->before), false);
    if (is_opening(joiner, word))
        return put(joiner, false, true);
    if (is_all_of(word, ",.?!:;\\%}])")) {
        if (joiner->moses->options.language == MOSES_FRENCH && word.size == 1 &&
            is_all_of(word, "?!:;\\%"))
            joiner->wants_space = true;
        return put(joiner, true, false);
    }
    if (is_contraction_end(joiner))
        return put(joiner, true, false);
    if (is_contraction_start(joiner))
        return put(joiner, false, true);
    if (is_quote(word, &is_german))
        return put_quote(joiner, is_german);
    return put(joiner, false, false);
}

/* The word at offset; bytes NULL behind the last that is not empty. */
static struct word next_word(const struct buffer *text, size_t size, size_t *offset)
{
    if (*offset >= size)
        return (struct word){0};
    const char *start = text->data + *offset;
    const char *space = memchr(start, ' ', size - *offset);
    const struct word word = {start, space ? (size_t)(space - start) : size - *offset};
    *offset += word.size + 1;
    return word;
}

static enum status join(const struct moses *moses, struct moses_work *work)
{
    struct joiner joiner = {.moses = moses, .work = work};
    size_t size = work->text.size, offset = 0;
    while (size > 0 && work->text.data[size - 1] == ' ')
        size--;
    buffer_clear(&work->spare);
    enum status status = buffer_reserve(&work->spare, size);
    joiner.word = next_word(&work->text, size, &offset);
    while (joiner.word.bytes != NULL && status == STATUS_OK) {
        joiner.after = next_word(&work->text, size, &offset);
        status = put_word(&joiner);
        joiner.before = joiner.word;
        joiner.word = joiner.after;
    }
    moses_take_spare(work);
    return status;
}

static bool is_left_alone(const struct moses *moses, const struct buffer *text)
{
    const bool is_tag = text->size > 2 && text->data[0] == '<' && text->data[text->size - 1] == '>';
    return is_tag || character_is_blank(&moses->characters, text->data, text->size);
}

static const struct literal split_hyphen = LITERAL(" @-@ ", "-", 1);

enum status moses_detokenize(const struct moses *moses, struct moses_work *work)
{
    if (is_left_alone(moses, &work->text))
        return STATUS_OK;
    buffer_clear(&work->spare);
    enum status status = buffer_append(&work->spare, " ", 1);
    if (status == STATUS_OK)
        status = buffer_append(&work->spare, work->text.data, work->text.size);
    if (status == STATUS_OK)
        status = buffer_append(&work->spare, " ", 1);
    moses_take_spare(work);
    if (status == STATUS_OK)
        status = edit_literal(work, &split_hyphen);
    if (status == STATUS_OK)
        status = unescape(work);
    return status < 0 ? status : join(moses, work);
}
