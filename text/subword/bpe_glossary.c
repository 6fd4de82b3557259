/* Each glossary is compiled as subword-nmt uses it: to match a whole word, and to search. */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "text/subword/bpe_glossary.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

struct glossary {
    char *pattern;      /* owned */
    pcre2_code *whole;  /* "^pattern$" */
    pcre2_code *search; /* "(pattern)" */
};

struct bpe_glossaries {
    struct glossary *items; /* [n] */
    size_t n;
    pcre2_code *any_whole; /* "^(first|second|...)$" */
    uint32_t n_groups;     /* most in any of them */
};

struct segments {
    struct bpe_segment *items; /* owned */
    size_t n;
    size_t capacity;
};

struct bpe_matcher {
    const struct bpe_glossaries *glossaries;
    pcre2_match_data *match;
    struct segments now, next; /* of the word, before and after a glossary */
};

static const char outside_escapes[] = "dDsSwWbBAZnrtfa123456789";
static const char groups[] = ":=!>#";

/* The part of a pattern that Python and PCRE2 do not read alike, or NULL. */
static const char *find_difference(const char *pattern)
{
    bool is_class = false;
    for (const char *c = pattern; *c != '\0'; c++) {
        if (*c == '\\') {
            c++;
            const bool is_letter =
                (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9');
            if (*c == '\0' || (is_letter && strchr(outside_escapes, *c) == NULL))
                return c - 1;
        } else if (is_class) {
            if (*c == '[' && c[1] != '\0' && strchr(":.=", c[1]) != NULL)
                return c;
            is_class = *c != ']';
        } else if (*c == '[') {
            is_class = true;
            c += c[1] == '^' ? 1 : 0;
            c += c[1] == ']' ? 1 : 0;
        } else if (*c == '{' && c[1] == ',') {
            return c;
        } else if (*c == '(' && c[1] == '*') {
            return c;
        } else if (*c == '(' && c[1] == '?') {
            const bool is_behind = c[2] == '<' && (c[3] == '=' || c[3] == '!');
            const bool is_name = c[2] == 'P' && (c[3] == '<' || c[3] == '=');
            if (c[2] == '\0' || (strchr(groups, c[2]) == NULL && !is_behind && !is_name))
                return c;
        }
    }
    return NULL;
}

static enum status compile(const char *before, const char *pattern, const char *after,
                           bool is_bytes, pcre2_code **code)
{
    struct buffer text = {0};
    enum status status = buffer_append_string(&text, before);
    if (status == STATUS_OK)
        status = buffer_append_string(&text, pattern);
    if (status == STATUS_OK)
        status = buffer_append_string(&text, after);
    if (status == STATUS_OK) {
        int error = 0;
        PCRE2_SIZE offset = 0;
        const uint32_t options = is_bytes ? 0 : PCRE2_UTF | PCRE2_UCP;
        *code = pcre2_compile((PCRE2_SPTR)text.data, text.size, options, &error, &offset, NULL);
        if (*code == NULL) {
            char why[128] = "";
            pcre2_get_error_message(error, (PCRE2_UCHAR *)why, sizeof why);
            status = status_set(STATUS_USAGE, "glossary '%s' is no regular expression: %s", pattern,
                                why);
        }
    }
    buffer_free(&text);
    return status;
}

static void count_groups(struct bpe_glossaries *glossaries, const pcre2_code *code)
{
    uint32_t n = 0;
    pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &n);
    glossaries->n_groups = n > glossaries->n_groups ? n : glossaries->n_groups;
}

static enum status open_glossary(struct bpe_glossaries *glossaries, struct glossary *glossary,
                                 const char *pattern, bool is_bytes)
{
    const char *difference = find_difference(pattern);
    if (difference != NULL) {
        const enum status status =
            status_set(STATUS_USAGE, "glossary '%s': '%s' is not supported", pattern, difference);
        status_hint("a backslash before a punctuation mark makes it an ordinary character");
        return status;
    }
    glossary->pattern = strdup(pattern);
    if (glossary->pattern == NULL)
        return status_set(STATUS_MEMORY, "no memory for a glossary");
    enum status status = compile("^", pattern, "$", is_bytes, &glossary->whole);
    if (status == STATUS_OK)
        status = compile("(", pattern, ")", is_bytes, &glossary->search);
    if (status == STATUS_OK) {
        count_groups(glossaries, glossary->whole);
        count_groups(glossaries, glossary->search);
    }
    return status;
}

static enum status open_any(struct bpe_glossaries *glossaries, bool is_bytes)
{
    struct buffer text = {0};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < glossaries->n && status == STATUS_OK; i++)
        status = buffer_printf(&text, "%s%s", i > 0 ? "|" : "", glossaries->items[i].pattern);
    if (status == STATUS_OK)
        status = compile("^(", text.data, ")$", is_bytes, &glossaries->any_whole);
    if (status == STATUS_OK)
        count_groups(glossaries, glossaries->any_whole);
    buffer_free(&text);
    return status;
}

enum status bpe_glossaries_open(struct bpe_glossaries **glossaries, const char *const *patterns,
                                size_t n, bool is_bytes)
{
    *glossaries = NULL;
    struct bpe_glossaries *opened = calloc(1, sizeof *opened);
    if (opened != NULL)
        opened->items = calloc(n + 1, sizeof *opened->items);
    if (opened == NULL || opened->items == NULL) {
        free(opened);
        return status_set(STATUS_MEMORY, "no memory for %zu glossaries", n);
    }
    enum status status = STATUS_OK;
    for (; opened->n < n && status == STATUS_OK; opened->n++)
        status = open_glossary(opened, &opened->items[opened->n], patterns[opened->n], is_bytes);
    if (status == STATUS_OK)
        status = open_any(opened, is_bytes);
    if (status == STATUS_OK)
        *glossaries = opened;
    else
        bpe_glossaries_close(opened);
    return status;
}

void bpe_glossaries_close(struct bpe_glossaries *glossaries)
{
    if (glossaries == NULL)
        return;
    for (size_t i = 0; i < glossaries->n; i++) {
        free(glossaries->items[i].pattern);
        pcre2_code_free(glossaries->items[i].whole);
        pcre2_code_free(glossaries->items[i].search);
    }
    pcre2_code_free(glossaries->any_whole);
    free(glossaries->items);
    free(glossaries);
}

enum status bpe_matcher_open(struct bpe_matcher **matcher, const struct bpe_glossaries *glossaries)
{
    *matcher = calloc(1, sizeof **matcher);
    if (*matcher != NULL)
        (*matcher)->match = pcre2_match_data_create(glossaries->n_groups + 1, NULL);
    if (*matcher == NULL || (*matcher)->match == NULL) {
        bpe_matcher_close(*matcher);
        *matcher = NULL;
        return status_set(STATUS_MEMORY, "no memory to look for glossaries");
    }
    (*matcher)->glossaries = glossaries;
    return STATUS_OK;
}

void bpe_matcher_close(struct bpe_matcher *matcher)
{
    if (matcher == NULL)
        return;
    pcre2_match_data_free(matcher->match);
    free(matcher->now.items);
    free(matcher->next.items);
    free(matcher);
}

static enum status push(struct segments *segments, const char *bytes, size_t size)
{
    if (segments->n == segments->capacity) {
        const size_t capacity = segments->capacity ? 2 * segments->capacity : 16;
        struct bpe_segment *grown = realloc(segments->items, capacity * sizeof *grown);
        if (grown == NULL)
            return status_set(STATUS_MEMORY, "no memory for %zu segments of a word", capacity);
        segments->items = grown;
        segments->capacity = capacity;
    }
    segments->items[segments->n++] = (struct bpe_segment){bytes, size};
    return STATUS_OK;
}

/* Matches from an offset on. *n_found: 0 no match, else one more than the highest group that took
 * part. */
static enum status match(struct bpe_matcher *matcher, const pcre2_code *code,
                         struct bpe_segment segment, size_t offset, uint32_t options, int *n_found)
{
    const int result = pcre2_match(code, (PCRE2_SPTR)segment.bytes, segment.size, offset, options,
                                   matcher->match, NULL);
    *n_found = result > 0 ? result : 0;
    if (result > 0 || result == PCRE2_ERROR_NOMATCH)
        return STATUS_OK;
    if (result == PCRE2_ERROR_NOMEMORY)
        return status_set(STATUS_MEMORY, "no memory to look for a glossary");
    char why[128] = "";
    pcre2_get_error_message(result, (PCRE2_UCHAR *)why, sizeof why);
    return status_set(STATUS_DATA, "cannot look for a glossary in a word of %zu bytes: %s",
                      segment.size, why);
}

/* The match and its groups, in order; empty ones are left out. */
static enum status push_groups(struct bpe_matcher *matcher, struct bpe_segment segment, int n_found)
{
    const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(matcher->match);
    enum status status = STATUS_OK;
    for (int group = 1; group < n_found && status == STATUS_OK; group++) {
        const PCRE2_SIZE start = ends[2 * group], end = ends[2 * group + 1];
        if (start != PCRE2_UNSET && end > start)
            status = push(&matcher->next, segment.bytes + start, end - start);
    }
    return status;
}

/* Cuts a segment at each match. After an empty match the next one must be longer or further on. */
static enum status cut_segment(struct bpe_matcher *matcher, const struct glossary *glossary,
                               struct bpe_segment segment)
{
    size_t from = 0, kept = 0;
    uint32_t options = 0;
    int n_found = 0;
    enum status status = STATUS_OK;
    for (;;) {
        status = match(matcher, glossary->search, segment, from, options, &n_found);
        if (status < 0 || n_found == 0)
            break;
        const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(matcher->match);
        const size_t start = ends[0], end = ends[1];
        if (start > kept)
            status = push(&matcher->next, segment.bytes + kept, start - kept);
        if (status == STATUS_OK)
            status = push_groups(matcher, segment, n_found);
        if (status < 0)
            break;
        options = start == end ? PCRE2_NOTEMPTY_ATSTART : 0;
        from = end;
        kept = end;
    }
    if (status == STATUS_OK && kept < segment.size)
        status = push(&matcher->next, segment.bytes + kept, segment.size - kept);
    return status;
}

enum status bpe_matcher_cut(struct bpe_matcher *matcher, const char *word, size_t size,
                            const struct bpe_segment **segments, size_t *n)
{
    const struct bpe_glossaries *glossaries = matcher->glossaries;
    matcher->now.n = 0;
    enum status status = push(&matcher->now, word, size);
    for (size_t i = 0; i < glossaries->n && status == STATUS_OK; i++) {
        const struct glossary *glossary = &glossaries->items[i];
        matcher->next.n = 0;
        for (size_t j = 0; j < matcher->now.n && status == STATUS_OK; j++) {
            const struct bpe_segment segment = matcher->now.items[j];
            int n_found = 0;
            status = match(matcher, glossary->whole, segment, 0, PCRE2_ANCHORED, &n_found);
            if (status == STATUS_OK && n_found > 0)
                status = push(&matcher->next, segment.bytes, segment.size);
            else if (status == STATUS_OK)
                status = cut_segment(matcher, glossary, segment);
        }
        const struct segments done = matcher->next;
        matcher->next = matcher->now;
        matcher->now = done;
    }
    *segments = matcher->now.items;
    *n = matcher->now.n;
    return status;
}

enum status bpe_matcher_is_whole(struct bpe_matcher *matcher, struct bpe_segment segment,
                                 bool *is_whole)
{
    int n_found = 0;
    const enum status status =
        match(matcher, matcher->glossaries->any_whole, segment, 0, PCRE2_ANCHORED, &n_found);
    *is_whole = n_found > 0;
    return status;
}
