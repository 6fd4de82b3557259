/* Line reader: descriptor -> [inflate], or a prepared corpus -> text buffer -> one cleaned line.
 *
 * Reads the descriptor itself, not through a FILE or gzFile, whose hidden buffers would make
 * poll() lie about what is waiting. */
#include "text/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "text/prep/pairs.h"
#include "text/utf8.h"

enum {
    BLOCK_BYTES = 1 << 16,
    FORGET_BYTES = 1 << 26 /* of a prepared corpus read before its pages are given back */
};

enum compression {
    COMPRESSION_UNDECIDED, /* fewer than two bytes seen */
    COMPRESSION_NONE,
    COMPRESSION_GZIP
};

struct lines {
    char *name;     /* owned */
    int descriptor; /* -1 for a prepared corpus */
    bool owns_descriptor;
    struct pairs *pairs; /* owned; NULL for a file */
    enum pairs_side side;
    int64_t next_pair;
    size_t remembered; /* bytes read since pairs_forget() */
    enum compression compression;
    z_stream inflater;
    bool inflater_is_open;
    bool inside_member;  /* of a gzip file: its end was not seen yet */
    bool is_at_end;      /* the descriptor has no more bytes */
    enum status failure; /* of a read; delivered after the lines before it */
    struct buffer failure_message;
    size_t limit;          /* bytes a line */
    bool is_verbatim;      /* count, but do not repair */
    struct buffer text;    /* decompressed bytes, consumed from `start` */
    size_t start;          /* first byte of the next line */
    size_t scanned;        /* no "\n" in start..scanned */
    struct buffer cleaned; /* a line that had to be repaired */
    struct lines_counts counts;
    unsigned char block[BLOCK_BYTES]; /* as read; `waiting` bytes not decided upon yet */
    size_t waiting;
};

/* A reader without a descriptor; NULL: no memory. */
static struct lines *new_reader(const char *name)
{
    struct lines *reader = calloc(1, sizeof *reader);
    if (reader)
        reader->name = strdup(name);
    if (!reader || !reader->name) {
        free(reader);
        return NULL;
    }
    reader->limit = LINES_MAX_BYTES;
    reader->descriptor = -1;
    return reader;
}

static enum status open_side(struct lines *reader, const char *directory, const char *side)
{
    const enum status status = pairs_open(&reader->pairs, directory);
    if (status < 0)
        return status;
    for (reader->side = PAIRS_SOURCE; reader->side <= PAIRS_TARGET; reader->side++) {
        if (strcmp(side, pairs_name(reader->pairs, reader->side)) == 0)
            return STATUS_OK;
    }
    return status_set(STATUS_IO, "cannot open %s: the sides of the corpus are %s/%s and %s/%s",
                      reader->name, directory, pairs_name(reader->pairs, PAIRS_SOURCE), directory,
                      pairs_name(reader->pairs, PAIRS_TARGET));
}

/* Opens what is not a file: DIRECTORY/SIDE of a prepared corpus, or nothing. */
static enum status open_other(struct lines *reader, const char *path)
{
    const int failure = errno;
    const char *slash = strrchr(path, '/');
    const size_t size = slash == NULL ? 1 : (size_t)(slash - path);
    char *directory = slash == NULL ? strdup(".") : strndup(path, size);
    if (directory == NULL)
        return status_set(STATUS_MEMORY, "no memory to read %s", path);
    enum status status = STATUS_OK;
    if (failure == ENOENT && pairs_exist(directory))
        status = open_side(reader, directory, slash == NULL ? path : slash + 1);
    else
        status = status_set(STATUS_IO, "cannot open %s: %s", path, strerror(failure));
    free(directory);
    return status;
}

enum status lines_open(struct lines **lines, const char *path)
{
    *lines = NULL;
    const bool is_standard_input = !path || strcmp(path, "-") == 0;
    struct lines *reader = new_reader(is_standard_input ? "standard input" : path);
    if (!reader)
        return status_set(STATUS_MEMORY, "no memory to read %s", path ? path : "-");
    reader->owns_descriptor = !is_standard_input;
    reader->descriptor = is_standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    const enum status status = reader->descriptor < 0 ? open_other(reader, path) : STATUS_OK;
    if (status < 0)
        lines_close(reader);
    else
        *lines = reader;
    return status;
}

enum status lines_open_descriptor(struct lines **lines, int descriptor, const char *name)
{
    *lines = new_reader(name);
    if (!*lines) {
        close(descriptor);
        return status_set(STATUS_MEMORY, "no memory to read %s", name);
    }
    (*lines)->owns_descriptor = true;
    (*lines)->descriptor = descriptor;
    return STATUS_OK;
}

void lines_close(struct lines *lines)
{
    if (!lines)
        return;
    if (lines->inflater_is_open)
        inflateEnd(&lines->inflater);
    if (lines->owns_descriptor && lines->descriptor >= 0)
        close(lines->descriptor);
    pairs_close(lines->pairs);
    buffer_free(&lines->text);
    buffer_free(&lines->cleaned);
    buffer_free(&lines->failure_message);
    free(lines->name);
    free(lines);
}

static enum status damaged(const struct lines *lines, const char *why)
{
    return status_set(STATUS_FORMAT, "%s: damaged gzip file: %s", lines->name, why);
}

/* Starts the next gzip member; padding with zero bytes between and behind members is skipped. */
static enum status start_member(struct lines *lines)
{
    z_stream *inflater = &lines->inflater;
    while (inflater->avail_in && *inflater->next_in == 0) {
        inflater->next_in++;
        inflater->avail_in--;
    }
    if (inflater->avail_in == 0)
        return STATUS_OK;
    /* 16: zlib's code for "a gzip header and nothing else" */
    const int code =
        lines->inflater_is_open ? inflateReset(inflater) : inflateInit2(inflater, 16 + MAX_WBITS);
    if (code != Z_OK)
        return status_set(STATUS_MEMORY, "no memory to decompress %s", lines->name);
    lines->inflater_is_open = true;
    lines->inside_member = true;
    return STATUS_OK;
}

/* Decompresses the waiting bytes into text. */
static enum status inflate_block(struct lines *lines)
{
    z_stream *inflater = &lines->inflater;
    inflater->next_in = lines->block;
    inflater->avail_in = (uInt)lines->waiting;
    lines->waiting = 0;
    for (;;) {
        enum status status = STATUS_OK;
        if (!lines->inside_member && (status = start_member(lines)) < 0)
            return status;
        if (!lines->inside_member)
            return STATUS_OK;
        if ((status = buffer_reserve(&lines->text, BLOCK_BYTES)) < 0)
            return status;
        inflater->next_out = (unsigned char *)lines->text.data + lines->text.size;
        inflater->avail_out = BLOCK_BYTES;
        const int code = inflate(inflater, Z_NO_FLUSH);
        lines->text.size += BLOCK_BYTES - inflater->avail_out;
        if (code == Z_STREAM_END)
            lines->inside_member = false;
        else if (code == Z_MEM_ERROR)
            return status_set(STATUS_MEMORY, "no memory to decompress %s", lines->name);
        else if (code != Z_OK && code != Z_BUF_ERROR)
            return damaged(lines, inflater->msg ? inflater->msg : "invalid data");
        else if (inflater->avail_in == 0 && inflater->avail_out > 0)
            return STATUS_OK;
    }
}

static void decide_compression(struct lines *lines)
{
    if (lines->waiting >= 2)
        lines->compression = lines->block[0] == 0x1F && lines->block[1] == 0x8B ? COMPRESSION_GZIP
                                                                                : COMPRESSION_NONE;
    else if (lines->is_at_end)
        lines->compression = COMPRESSION_NONE;
}

/* Reads once from the descriptor; may wait. */
static enum status read_block(struct lines *lines)
{
    ssize_t got = 0;
    do
        got = read(lines->descriptor, lines->block + lines->waiting, BLOCK_BYTES - lines->waiting);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return status_set(STATUS_IO, "cannot read %s: %s", lines->name, strerror(errno));
    lines->waiting += (size_t)got;
    lines->is_at_end = got == 0;
    if (lines->compression == COMPRESSION_UNDECIDED)
        decide_compression(lines);
    if (lines->compression == COMPRESSION_UNDECIDED)
        return STATUS_OK;
    if (lines->compression == COMPRESSION_GZIP) {
        if (lines->is_at_end)
            return lines->inside_member ? damaged(lines, "it ends too early") : STATUS_OK;
        return inflate_block(lines);
    }
    const size_t size = lines->waiting;
    lines->waiting = 0;
    return buffer_append(&lines->text, lines->block, size);
}

/* Takes some lines of a prepared corpus. */
static enum status read_pairs(struct lines *lines)
{
    const size_t before = lines->text.size;
    while (lines->text.size - before < BLOCK_BYTES) {
        if (lines->next_pair == pairs_count(lines->pairs)) {
            lines->is_at_end = true;
            break;
        }
        struct pair pair;
        enum status status = pairs_get(lines->pairs, lines->next_pair++, &pair);
        const struct pair_text *text = lines->side == PAIRS_SOURCE ? &pair.source : &pair.target;
        if (status == STATUS_OK)
            status = buffer_append(&lines->text, text->bytes, text->size);
        if (status == STATUS_OK)
            status = buffer_append_string(&lines->text, "\n");
        if (status < 0)
            return status;
    }
    lines->remembered += lines->text.size - before;
    if (lines->remembered > FORGET_BYTES) {
        pairs_forget(lines->pairs);
        lines->remembered = 0;
    }
    return STATUS_OK;
}

/* Remembers the failure whose message was just set. */
static enum status keep_failure(struct lines *lines, enum status status)
{
    lines->failure = status;
    buffer_clear(&lines->failure_message);
    if (buffer_append_string(&lines->failure_message, status_message()) < 0)
        lines->failure = STATUS_MEMORY;
    return status;
}

/* Reads once, and keeps a failure for when the lines before it are delivered. */
static void fill(struct lines *lines)
{
    if (lines->start > lines->text.size / 2) {
        lines->text.size -= lines->start;
        memmove(lines->text.data, lines->text.data + lines->start, lines->text.size);
        lines->scanned -= lines->start;
        lines->start = 0;
    }
    const enum status status = lines->pairs ? read_pairs(lines) : read_block(lines);
    if (status < 0)
        keep_failure(lines, status);
}

/* The next "\n" of the text at hand, NULL where there is none yet. */
static char *find_end(struct lines *lines)
{
    if (!lines->text.data)
        return NULL;
    char *end = memchr(lines->text.data + lines->scanned, '\n', lines->text.size - lines->scanned);
    if (!end)
        lines->scanned = lines->text.size;
    return end;
}

static bool is_exhausted(const struct lines *lines)
{
    return lines->is_at_end || lines->failure < 0;
}

static void tally(struct lines_tally *tally, int64_t number)
{
    if (tally->count++ == 0)
        tally->first = number;
}

/* The line as it is. bytes[size] is writable. */
static void keep(struct lines *lines, char *bytes, size_t size, struct line *line)
{
    struct lines_counts *counts = &lines->counts;
    const int64_t number = ++counts->lines;
    bytes[size] = '\0';
    if (size == 0)
        tally(&counts->empty, number);
    if (utf8_valid_prefix(bytes, size) != size)
        tally(&counts->bad_utf8, number);
    *line = (struct line){bytes, size, number};
}

/* Takes off and repairs what lines.h promises. bytes[size] is writable. */
static enum status clean(struct lines *lines, char *bytes, size_t size, bool has_end,
                         struct line *line)
{
    struct lines_counts *counts = &lines->counts;
    const int64_t number = ++counts->lines;
    if (has_end && size && bytes[size - 1] == '\r') {
        size--;
        tally(&counts->carriage_return, number);
    }
    if (number == 1 && size >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0) {
        bytes += 3;
        size -= 3;
        tally(&counts->byte_order_mark, number);
    }
    char *nul = size ? memchr(bytes, '\0', size) : NULL;
    if (nul)
        tally(&counts->nul, number);
    for (; nul; nul = memchr(nul, '\0', (size_t)(bytes + size - nul)))
        *nul = ' ';
    bytes[size] = '\0';
    if (size == 0)
        tally(&counts->empty, number);
    *line = (struct line){bytes, size, number};
    if (utf8_valid_prefix(bytes, size) == size)
        return STATUS_OK;
    tally(&counts->bad_utf8, number);
    buffer_clear(&lines->cleaned);
    size_t bad = 0;
    const enum status status = utf8_repair(&lines->cleaned, bytes, size, &bad);
    line->bytes = lines->cleaned.data;
    line->size = lines->cleaned.size;
    return status;
}

static enum status too_long(struct lines *lines)
{
    return keep_failure(
        lines, status_set(STATUS_FORMAT, "%s: line %lld is longer than the %zu bytes allowed",
                          lines->name, (long long)lines->counts.lines + 1, lines->limit));
}

enum status lines_next(struct lines *lines, struct line *line)
{
    *line = (struct line){0};
    char *end = NULL;
    while (!(end = find_end(lines)) && !is_exhausted(lines)) {
        if (lines->text.size - lines->start > lines->limit + 1)
            return too_long(lines);
        fill(lines);
    }
    if (!end && lines->failure < 0)
        return status_set(lines->failure, "%s",
                          lines->failure_message.data ? lines->failure_message.data : "no memory");
    if (!end && lines->start == lines->text.size)
        return STATUS_OK;
    char *bytes = lines->text.data + lines->start;
    const size_t size = (end ? (size_t)(end - lines->text.data) : lines->text.size) - lines->start;
    if (size > lines->limit)
        return too_long(lines);
    lines->start += size + (end != NULL);
    lines->scanned = lines->start;
    lines->counts.is_unended = end == NULL;
    if (lines->is_verbatim) {
        keep(lines, bytes, size, line);
        return STATUS_OK;
    }
    return clean(lines, bytes, size, end != NULL, line);
}

bool lines_would_block(struct lines *lines)
{
    while (!find_end(lines) && !is_exhausted(lines)) {
        if (lines->text.size - lines->start > lines->limit + 1)
            return false;
        struct pollfd waiting = {.fd = lines->descriptor, .events = POLLIN};
        if (!lines->pairs && poll(&waiting, 1, 0) <= 0)
            return true;
        fill(lines);
    }
    return false;
}

void lines_set_limit(struct lines *lines, size_t size)
{
    CHECK(size >= 1 && size <= LINES_MAX_BYTES, "limit %zu", size);
    lines->limit = size;
}

void lines_set_verbatim(struct lines *lines)
{
    lines->is_verbatim = true;
}

const struct lines_counts *lines_so_far(const struct lines *lines)
{
    return &lines->counts;
}

const char *lines_name(const struct lines *lines)
{
    return lines->name;
}

enum status lines_describe(const struct lines_counts *counts, const char *name, struct buffer *text)
{
    const struct {
        const char *what;
        struct lines_tally tally;
    } repairs[] = {
        {"invalid UTF-8", counts->bad_utf8},
        {"NUL bytes", counts->nul},
        {"a byte order mark", counts->byte_order_mark},
    };
    const char *before = name;
    const char *between = ": ";
    for (size_t i = 0; i < sizeof repairs / sizeof repairs[0]; i++) {
        const struct lines_tally tally = repairs[i].tally;
        if (tally.count == 0)
            continue;
        const enum status status = buffer_printf(
            text, "%s%s%s in %lld line%s (first: %lld)", before, between, repairs[i].what,
            (long long)tally.count, tally.count == 1 ? "" : "s", (long long)tally.first);
        if (status < 0)
            return status;
        before = "";
        between = ", ";
    }
    return STATUS_OK;
}
