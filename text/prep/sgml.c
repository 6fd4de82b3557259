/* SGML of test sets, line by line. */
#include "text/prep/sgml.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "text/lines.h"
#include "text/metric/tokenizer.h"
#include "text/prep/printable.h"

static const char end_tag[] = "</seg>";

struct sgml {
    char *name; /* owned */
    struct lines *lines;
    struct buffer document_tag; /* between "<doc" and ">" of the document at hand */
    struct buffer document;
    struct buffer id;
    struct buffer raw; /* a segment before its white space is collapsed */
    struct buffer text;
    int64_t line;
};

enum status sgml_open(struct sgml **sgml, const char *path, const char *name)
{
    *sgml = NULL;
    struct sgml *reader = calloc(1, sizeof *reader);
    if (reader != NULL)
        reader->name = strdup(name);
    if (reader == NULL || reader->name == NULL) {
        free(reader);
        return status_set(STATUS_MEMORY, "no memory to read %s", name);
    }
    const enum status status = lines_open(&reader->lines, path);
    if (status < 0) {
        sgml_close(reader);
        return status;
    }
    lines_set_limit(reader->lines, SGML_MAX_LINE);
    *sgml = reader;
    return STATUS_OK;
}

void sgml_close(struct sgml *sgml)
{
    if (sgml == NULL)
        return;
    lines_close(sgml->lines);
    buffer_free(&sgml->document_tag);
    buffer_free(&sgml->document);
    buffer_free(&sgml->id);
    buffer_free(&sgml->raw);
    buffer_free(&sgml->text);
    free(sgml->name);
    free(sgml);
}

/* The tag's "<name", in any case, followed by a blank or ">"; NULL where tag is another one. */
static const char *skip_tag_name(const char *tag, const char *name)
{
    const size_t length = strlen(name);
    if (strncasecmp(tag, name, length) != 0)
        return NULL;
    return tag[length] == '>' || isspace((unsigned char)tag[length]) ? tag + length : NULL;
}

/* The value of an attribute in the text of a tag up to end, in any quotes or none; "" without it.
 */
static enum status read_attribute(const char *text, const char *end, const char *name,
                                  struct buffer *value)
{
    const size_t length = strlen(name);
    buffer_clear(value);
    for (const char *at = text; at + length < end; at++) {
        if (!isspace((unsigned char)at[0]) || strncasecmp(at + 1, name, length) != 0)
            continue;
        const char *start = at + 1 + length;
        start += strspn(start, " \t");
        if (start >= end || *start != '=')
            continue;
        start++;
        start += strspn(start, " \t");
        const bool is_quoted = start < end && (*start == '"' || *start == '\'');
        const char closing[] = {is_quoted ? *start : ' ', '>', '\0'};
        if (is_quoted)
            start++;
        const size_t size = start < end ? strcspn(start, closing) : 0;
        return buffer_append(value, start, start + size <= end ? size : (size_t)(end - start));
    }
    return buffer_append(value, "", 0);
}

static enum status wrong_line(const struct sgml *sgml, int64_t line, const char *what)
{
    return status_set(STATUS_FORMAT, "%s:%" PRId64 ": %s", sgml->name, line, what);
}

/* The last "</seg>" of the text, NULL where there is none. */
static const char *find_end_tag(const char *text)
{
    const char *last = NULL;
    for (const char *at = text; (at = strchr(at, '<')) != NULL; at++) {
        if (strncasecmp(at, end_tag, strlen(end_tag)) == 0)
            last = at;
    }
    return last;
}

/* Whether another segment begins inside [text, end). */
static bool has_segment(const char *text, const char *end)
{
    for (const char *at = text; (at = strchr(at, '<')) != NULL && at < end; at++) {
        if (skip_tag_name(at, "<seg") != NULL)
            return true;
    }
    return false;
}

/* A line from behind "<seg" on; sacreBLEU keeps what follows the end tag, and so does this. */
static enum status read_segment(struct sgml *sgml, const struct line *line, const char *rest)
{
    const char *tag_end = strchr(rest, '>');
    const char *text_end = tag_end == NULL ? NULL : find_end_tag(tag_end + 1);
    if (text_end == NULL)
        return wrong_line(sgml, line->number, "a segment without </seg> on its line");
    if (has_segment(tag_end + 1, text_end))
        return wrong_line(sgml, line->number, "two segments on one line");
    enum status status = read_attribute(rest, tag_end, "id", &sgml->id);
    const char *tail = text_end + strlen(end_tag);
    buffer_clear(&sgml->raw);
    buffer_clear(&sgml->text);
    if (status == STATUS_OK)
        status = buffer_append(&sgml->raw, tag_end + 1, (size_t)(text_end - tag_end - 1));
    if (status == STATUS_OK)
        status = buffer_append(&sgml->raw, tail, (size_t)(line->bytes + line->size - tail));
    if (status == STATUS_OK)
        status = buffer_append(&sgml->text, "", 0); /* so that an empty text has bytes too */
    if (status == STATUS_OK)
        status = tokenizer_none(&sgml->text, sgml->raw.data, sgml->raw.size);
    return status;
}

enum status sgml_attribute(const struct sgml *sgml, const char *name, struct buffer *value)
{
    const char *tag = sgml->document_tag.data == NULL ? "" : sgml->document_tag.data;
    return read_attribute(tag, tag + sgml->document_tag.size, name, value);
}

enum status sgml_next(struct sgml *sgml, struct sgml_segment *segment)
{
    *segment = (struct sgml_segment){0};
    for (;;) {
        struct line line;
        enum status status = lines_next(sgml->lines, &line);
        if (status < 0 || line.bytes == NULL)
            return status;
        const char *tag = line.bytes + strspn(line.bytes, " \t\r\f\v");
        const char *rest = skip_tag_name(tag, "<doc");
        if (rest != NULL) {
            const char *end = strchr(rest, '>');
            end = end == NULL ? rest + strlen(rest) : end;
            buffer_clear(&sgml->document_tag);
            if ((status = buffer_append(&sgml->document_tag, rest, (size_t)(end - rest))) < 0 ||
                (status = sgml_attribute(sgml, "docid", &sgml->document)) < 0)
                return status;
        }
        rest = skip_tag_name(tag, "<seg");
        if (rest == NULL)
            continue;
        if ((status = read_segment(sgml, &line, rest)) < 0)
            return status;
        *segment = (struct sgml_segment){
            .text = sgml->text.data,
            .size = sgml->text.size,
            .document = sgml->document.data == NULL ? "" : sgml->document.data,
            .id = sgml->id.data,
            .line = line.number,
        };
        return STATUS_OK;
    }
}

/* Differing, where both are stated. */
static bool differ(const char *one, const char *other)
{
    return one[0] != '\0' && other[0] != '\0' && strcmp(one, other) != 0;
}

static enum status compare(const char *const names[2], const struct sgml_segment segments[2],
                           int64_t count)
{
    const struct sgml_segment *source = &segments[0], *target = &segments[1];
    if ((source->text == NULL) != (target->text == NULL)) {
        const int shorter = source->text == NULL ? 0 : 1;
        return status_set(STATUS_DATA, "%s has %" PRId64 " segments, %s has more", names[shorter],
                          count, names[1 - shorter]);
    }
    if (source->text == NULL ||
        (!differ(source->document, target->document) && !differ(source->id, target->id)))
        return STATUS_OK;
    char shown[4][PRINTABLE_BYTES];
    return status_set(STATUS_DATA,
                      "%s:%" PRId64 " is segment '%s' of document '%s', but %s:%" PRId64
                      " is segment '%s' of document '%s'",
                      names[0], source->line, printable(shown[0], source->id),
                      printable(shown[1], source->document), names[1], target->line,
                      printable(shown[2], target->id), printable(shown[3], target->document));
}

static enum status write_all(struct sgml *const readers[2], const char *const names[2],
                             FILE *const outputs[2], int64_t *count)
{
    for (;;) {
        struct sgml_segment segments[2];
        enum status status = sgml_next(readers[0], &segments[0]);
        if (status == STATUS_OK)
            status = sgml_next(readers[1], &segments[1]);
        if (status < 0 || (status = compare(names, segments, *count)) < 0)
            return status;
        if (segments[0].text == NULL)
            break;
        for (int i = 0; i < 2; i++) {
            fwrite(segments[i].text, 1, segments[i].size, outputs[i]);
            putc('\n', outputs[i]);
        }
        ++*count;
    }
    if (*count == 0)
        return status_set(STATUS_FORMAT, "%s: no line begins with <seg>", names[0]);
    return STATUS_OK;
}

enum status sgml_write_pair(const char *const paths[2], const char *const names[2],
                            FILE *const outputs[2], int64_t *count)
{
    struct sgml *readers[2] = {NULL, NULL};
    *count = 0;
    enum status status = sgml_open(&readers[0], paths[0], names[0]);
    if (status == STATUS_OK)
        status = sgml_open(&readers[1], paths[1], names[1]);
    if (status == STATUS_OK)
        status = write_all(readers, names, outputs, count);
    sgml_close(readers[0]);
    sgml_close(readers[1]);
    return status;
}
