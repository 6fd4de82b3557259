/* The file of codes, line by line. */
#include "text/subword/bpe_codes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "text/subword/bpe_text.h"
#include "text/utf8.h"

static const char version_word[] = "#version:";
static const char byte_order_mark[] = "\xEF\xBB\xBF";

enum status bpe_codes_push(struct bpe_codes *codes, struct bpe_merge merge)
{
    if (codes->n_merges == codes->capacity) {
        const size_t capacity = codes->capacity ? 2 * codes->capacity : 64;
        struct bpe_merge *grown = realloc(codes->merges, capacity * sizeof *grown);
        if (grown == NULL)
            return status_set(STATUS_MEMORY, "no memory for %zu merges", capacity);
        codes->merges = grown;
        codes->capacity = capacity;
    }
    codes->merges[codes->n_merges++] = merge;
    return STATUS_OK;
}

/* The words behind "#version:", as "0.2", "0.2.0" or "0.2 byte"; false for others. */
static bool read_version(const char *bytes, size_t size, enum bpe_version *version)
{
    char text[16] = "";
    bpe_strip(&bytes, &size);
    if (size >= sizeof text)
        return false;
    memcpy(text, bytes, size);
    if (strcmp(text, "0.2 byte") == 0) {
        *version = BPE_VERSION_BYTE;
        return true;
    }
    for (size_t length = strlen(text); length > 3 && strcmp(text + length - 2, ".0") == 0;
         length = strlen(text))
        text[length - 2] = '\0';
    *version = strcmp(text, "0.1") == 0 ? BPE_VERSION_0_1 : BPE_VERSION_0_2;
    return strcmp(text, "0.1") == 0 || strcmp(text, "0.2") == 0;
}

/* Puts the file and the line before the message, and keeps the hint. */
static enum status at_line(enum status status, const struct lines *lines, int64_t number)
{
    char hint[128];
    snprintf(hint, sizeof hint, "%s", status_hint_text());
    status_set(status, "%s:%" PRId64 ": %s", lines_name(lines), number, status_message());
    if (hint[0] != '\0')
        status_hint("%s", hint);
    return status;
}

/* Reads a line that starts with "#version:"; *is_version false for another. */
static enum status read_header(struct bpe_codes *codes, const char *bytes, size_t size,
                               bool *is_version)
{
    const size_t length = sizeof version_word - 1, mark = sizeof byte_order_mark - 1;
    if (size >= mark + length && memcmp(bytes, byte_order_mark, mark) == 0 &&
        memcmp(bytes + mark, version_word, length) == 0) {
        bytes += mark;
        size -= mark;
    }
    *is_version = size >= length && memcmp(bytes, version_word, length) == 0;
    codes->version = BPE_VERSION_0_1;
    if (!*is_version || read_version(bytes + length, size - length, &codes->version))
        return STATUS_OK;
    const enum status status = status_set(STATUS_FORMAT, "'%.*s' is no version of codes known here",
                                          size > 40 ? 40 : (int)size, bytes);
    status_hint("known are 0.1, 0.2 and '0.2 byte'");
    return status;
}

static enum status read_merge(struct bpe_codes *codes, const char *bytes, size_t size)
{
    bpe_strip(&bytes, &size);
    const char *space = size > 0 ? memchr(bytes, ' ', size) : NULL;
    const size_t length = space != NULL ? (size_t)(space - bytes) : 0;
    const size_t rest = space != NULL ? size - length - 1 : 0;
    if (rest == 0 || memchr(space + 1, ' ', rest) != NULL) {
        const enum status status =
            status_set(STATUS_FORMAT, "wanted two symbols with a space between, found '%.*s'",
                       size > 60 ? 60 : (int)size, bytes);
        status_hint("is this a file of codes, as 'mixt subword train --type subword-nmt' writes?");
        return status;
    }
    if (codes->version != BPE_VERSION_BYTE && utf8_valid_prefix(bytes, size) < size)
        return status_set(STATUS_FORMAT, "invalid UTF-8");
    struct bpe_merge merge = {0};
    enum status status = strings_add(&codes->symbols, bytes, length, &merge.left);
    if (status == STATUS_OK)
        status = strings_add(&codes->symbols, space + 1, rest, &merge.right);
    if (status == STATUS_OK)
        status = bpe_codes_push(codes, merge);
    return status;
}

static bool is_blank(const struct line *line)
{
    const char *bytes = line->bytes;
    size_t size = line->size;
    bpe_strip(&bytes, &size);
    return size == 0;
}

/* Empty lines are fine at the end alone. */
static enum status skip_blank(struct lines *lines, struct line *line)
{
    const int64_t first = line->number;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && line->bytes != NULL && is_blank(line))
        status = lines_next(lines, line);
    if (status == STATUS_OK && line->bytes != NULL)
        return status_set(STATUS_FORMAT, "%s:%" PRId64 ": an empty line among the codes",
                          lines_name(lines), first);
    return status;
}

enum status bpe_codes_read(struct bpe_codes *codes, struct lines *lines, int64_t limit)
{
    struct line line;
    bool is_version = false;
    lines_set_verbatim(lines);
    enum status status = lines_next(lines, &line);
    if (status == STATUS_OK && line.bytes == NULL)
        return status_set(STATUS_FORMAT, "%s: the file of codes is empty", lines_name(lines));
    if (status == STATUS_OK &&
        (status = read_header(codes, line.bytes, line.size, &is_version)) < 0)
        return at_line(status, lines, 1);
    if (status == STATUS_OK && is_version)
        status = lines_next(lines, &line);
    while (status == STATUS_OK && line.bytes != NULL &&
           (limit < 0 || codes->n_merges < (size_t)limit)) {
        if (is_blank(&line))
            return skip_blank(lines, &line);
        status = read_merge(codes, line.bytes, line.size);
        if (status < 0)
            return at_line(status, lines, line.number);
        status = lines_next(lines, &line);
    }
    return status;
}

void bpe_codes_write(const struct bpe_codes *codes, FILE *stream)
{
    CHECK(codes->version != BPE_VERSION_0_1, "codes of version 0.1 are not written");
    fprintf(stream, "%s 0.2%s\n", version_word, codes->version == BPE_VERSION_BYTE ? " byte" : "");
    for (size_t i = 0; i < codes->n_merges; i++) {
        size_t left_size = 0, right_size = 0;
        const char *left = strings_get(&codes->symbols, codes->merges[i].left, &left_size);
        const char *right = strings_get(&codes->symbols, codes->merges[i].right, &right_size);
        fwrite(left, 1, left_size, stream);
        fputc(' ', stream);
        fwrite(right, 1, right_size, stream);
        fputc('\n', stream);
    }
}

void bpe_codes_free(struct bpe_codes *codes)
{
    strings_free(&codes->symbols);
    free(codes->merges);
    *codes = (struct bpe_codes){0};
}
