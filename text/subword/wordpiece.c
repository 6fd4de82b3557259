/* Pieces lie in a trie of bytes whose children are next to each other and sorted. One root is for
 * the starts of words and has all pieces as they are written, since BERT finds "##s" in a text that
 * says "##s" too; the other has what stands behind "##". */
#include "text/subword/wordpiece.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "text/lines.h"
#include "text/subword/strings.h"
#include "text/utf8.h"

enum { ROOT_START, ROOT_INSIDE, N_ROOTS, N_BYTES = 256 };

struct node {
    uint32_t first_child;
    uint16_t n_children;
    int32_t id; /* of the piece that ends here, or -1 */
};

struct wordpiece {
    struct strings pieces; /* numbered by line: a number is an id */
    struct node *nodes;    /* [n_nodes] owned; the roots come first */
    unsigned char *labels; /* [n_nodes] owned; the byte that leads to a node */
    size_t n_nodes;
    size_t capacity;
    uint32_t roots[N_ROOTS][N_BYTES]; /* a root's child by byte, 0: none */
    int32_t unknown;                  /* or -1 */
};

/* A piece as it stands in the trie. */
struct entry {
    const char *bytes;
    uint32_t size;
    int32_t id;
};

/* Entries that share their first depth bytes, and the node these lead to. */
struct range {
    uint32_t node;
    uint32_t depth;
    size_t first, end;
};

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    const int order = memcmp(x->bytes, y->bytes, x->size < y->size ? x->size : y->size);
    return order != 0 ? order : (x->size > y->size) - (x->size < y->size);
}

static enum status reserve_nodes(struct wordpiece *wordpiece, size_t n)
{
    if (wordpiece->n_nodes + n <= wordpiece->capacity)
        return STATUS_OK;
    const size_t capacity = 2 * (wordpiece->n_nodes + n);
    struct node *nodes = realloc(wordpiece->nodes, capacity * sizeof *nodes);
    if (nodes != NULL)
        wordpiece->nodes = nodes;
    unsigned char *labels = realloc(wordpiece->labels, capacity);
    if (labels != NULL)
        wordpiece->labels = labels;
    if (nodes == NULL || labels == NULL || capacity > UINT32_MAX)
        return status_set(STATUS_MEMORY, "no memory for a vocabulary of %" PRId32 " pieces",
                          wordpiece->pieces.size);
    wordpiece->capacity = capacity;
    return STATUS_OK;
}

/* Makes the children of a node, and puts the range of each behind ranges->size. */
static enum status add_children(struct wordpiece *wordpiece, const struct entry *entries,
                                struct range range, struct buffer *ranges)
{
    enum status code = reserve_nodes(wordpiece, N_BYTES);
    if (code < 0)
        return code;
    size_t at = range.first;
    if (entries[at].size == range.depth)
        wordpiece->nodes[range.node].id = entries[at++].id;
    wordpiece->nodes[range.node].first_child = (uint32_t)wordpiece->n_nodes;
    while (at < range.end && code == STATUS_OK) {
        const unsigned char label = (unsigned char)entries[at].bytes[range.depth];
        struct range child = {(uint32_t)wordpiece->n_nodes, range.depth + 1, at, at};
        while (child.end < range.end &&
               (unsigned char)entries[child.end].bytes[range.depth] == label)
            child.end++;
        wordpiece->nodes[child.node] = (struct node){.id = -1};
        wordpiece->labels[child.node] = label;
        wordpiece->n_nodes++;
        wordpiece->nodes[range.node].n_children++;
        code = buffer_append(ranges, &child, sizeof child);
        at = child.end;
    }
    return code;
}

/* Grows the tree of one root from sorted entries [n]. */
static enum status grow_tree(struct wordpiece *wordpiece, uint32_t root,
                             const struct entry *entries, size_t n)
{
    struct buffer ranges = {0};
    const struct range all = {root, 0, 0, n};
    enum status code = n > 0 ? buffer_append(&ranges, &all, sizeof all) : STATUS_OK;
    for (size_t at = 0; at < ranges.size && code == STATUS_OK; at += sizeof all) {
        struct range range;
        memcpy(&range, ranges.data + at, sizeof range);
        code = add_children(wordpiece, entries, range, &ranges);
    }
    buffer_free(&ranges);
    const struct node *node = &wordpiece->nodes[root];
    for (uint32_t i = 0; i < node->n_children && code == STATUS_OK; i++)
        wordpiece->roots[root][wordpiece->labels[node->first_child + i]] = node->first_child + i;
    return code;
}

static bool is_inside(const char *piece, size_t size)
{
    return size > WORDPIECE_INSIDE_BYTES &&
           memcmp(piece, WORDPIECE_INSIDE, WORDPIECE_INSIDE_BYTES) == 0;
}

static enum status make_trie(struct wordpiece *wordpiece)
{
    const int32_t size = wordpiece->pieces.size;
    struct entry *entries = calloc((size_t)size, sizeof *entries);
    enum status code = reserve_nodes(wordpiece, N_ROOTS);
    if (entries == NULL)
        code = status_set(STATUS_MEMORY, "no memory for a vocabulary of %" PRId32 " pieces", size);
    for (uint32_t root = 0; root < N_ROOTS && code == STATUS_OK; root++)
        wordpiece->nodes[wordpiece->n_nodes++] = (struct node){.id = -1};
    for (uint32_t root = 0; root < N_ROOTS && code == STATUS_OK; root++) {
        size_t n = 0;
        for (int32_t id = 0; id < size; id++) {
            size_t piece_size;
            const char *piece = strings_get(&wordpiece->pieces, id, &piece_size);
            const size_t cut = root == ROOT_INSIDE ? WORDPIECE_INSIDE_BYTES : 0;
            if (root == ROOT_START || is_inside(piece, piece_size))
                entries[n++] = (struct entry){piece + cut, (uint32_t)(piece_size - cut), id};
        }
        qsort(entries, n, sizeof *entries, compare_entries);
        code = grow_tree(wordpiece, root, entries, n);
    }
    free(entries);
    return code;
}

/* Adds the piece of a line. */
static enum status add_line(struct wordpiece *wordpiece, const struct lines *lines,
                            const struct line *line)
{
    const char *name = lines_name(lines);
    const struct lines_counts *counts = lines_so_far(lines);
    if (counts->bad_utf8.count > 0)
        return status_set(STATUS_FORMAT, "%s:%" PRId64 ": invalid UTF-8 in a vocabulary", name,
                          line->number);
    if (line->size == 0) {
        status_set(STATUS_FORMAT, "%s:%" PRId64 ": an empty line in a vocabulary", name,
                   line->number);
        status_hint("the number of a line is the id of its piece: every line must have one");
        return STATUS_FORMAT;
    }
    if (strcspn(line->bytes, " \t") != line->size) {
        status_set(STATUS_FORMAT, "%s:%" PRId64 ": white space in a line of a vocabulary", name,
                   line->number);
        status_hint("a wordpiece vocabulary has one piece a line and nothing else");
        return STATUS_FORMAT;
    }
    int32_t id;
    const enum status code = strings_add(&wordpiece->pieces, line->bytes, line->size, &id);
    if (code == STATUS_OK && id + (int64_t)1 != line->number)
        return status_set(STATUS_FORMAT,
                          "%s:%" PRId64 ": piece '%.64s' is on line %" PRId64 " already", name,
                          line->number, line->bytes, id + (int64_t)1);
    return code;
}

static enum status read_pieces(struct wordpiece *wordpiece, struct lines *lines)
{
    lines_set_limit(lines, WORDPIECE_MAX_PIECE_BYTES);
    for (;;) {
        struct line line;
        enum status code = lines_next(lines, &line);
        if (code == STATUS_OK && line.bytes == NULL)
            break;
        if (code == STATUS_OK)
            code = add_line(wordpiece, lines, &line);
        if (code < 0)
            return code;
    }
    if (wordpiece->pieces.size == 0)
        return status_set(STATUS_FORMAT, "%s: no pieces in this vocabulary", lines_name(lines));
    return STATUS_OK;
}

static enum status find_unknown(struct wordpiece *wordpiece, const char *path, const char *unknown)
{
    wordpiece->unknown = -1;
    if (unknown == NULL)
        return STATUS_OK;
    wordpiece->unknown = wordpiece_find(wordpiece, unknown, strlen(unknown));
    if (wordpiece->unknown >= 0)
        return STATUS_OK;
    status_set(STATUS_FORMAT, "%s: no piece '%s' in this vocabulary", path, unknown);
    status_hint("it stands for words that have no pieces; another one can be named");
    return STATUS_FORMAT;
}

enum status wordpiece_open(struct wordpiece **wordpiece, const char *path, const char *unknown)
{
    *wordpiece = NULL;
    struct wordpiece *made = calloc(1, sizeof *made);
    if (made == NULL)
        return status_set(STATUS_MEMORY, "no memory for a vocabulary");
    struct lines *lines = NULL;
    enum status code = lines_open(&lines, path);
    if (code == STATUS_OK)
        code = read_pieces(made, lines);
    lines_close(lines);
    if (code == STATUS_OK)
        code = find_unknown(made, path, unknown);
    if (code == STATUS_OK)
        code = make_trie(made);
    if (code < 0)
        wordpiece_close(made);
    else
        *wordpiece = made;
    return code;
}

void wordpiece_close(struct wordpiece *wordpiece)
{
    if (wordpiece == NULL)
        return;
    strings_free(&wordpiece->pieces);
    free(wordpiece->nodes);
    free(wordpiece->labels);
    free(wordpiece);
}

int32_t wordpiece_size(const struct wordpiece *wordpiece)
{
    return wordpiece->pieces.size;
}

const char *wordpiece_piece(const struct wordpiece *wordpiece, int32_t id, size_t *size)
{
    return strings_get(&wordpiece->pieces, id, size);
}

int32_t wordpiece_find(const struct wordpiece *wordpiece, const char *piece, size_t size)
{
    return strings_find(&wordpiece->pieces, piece, size);
}

/* The child of a node that is no root, or 0. */
static uint32_t child_of(const struct wordpiece *wordpiece, uint32_t node, unsigned char byte)
{
    uint32_t first = wordpiece->nodes[node].first_child;
    uint32_t end = first + wordpiece->nodes[node].n_children;
    while (end - first > 8) {
        const uint32_t middle = first + (end - first) / 2;
        if (wordpiece->labels[middle] <= byte)
            first = middle;
        else
            end = middle;
    }
    for (; first < end; first++) {
        if (wordpiece->labels[first] == byte)
            return first;
    }
    return 0;
}

/* The longest piece at the start of bytes [size]: its id, or -1, and its size. */
static int32_t longest_piece(const struct wordpiece *wordpiece, uint32_t root, const char *bytes,
                             size_t size, size_t *piece_size)
{
    int32_t id = -1;
    uint32_t node = wordpiece->roots[root][(unsigned char)bytes[0]];
    for (size_t at = 1; node != 0; at++) {
        if (wordpiece->nodes[node].id >= 0) {
            id = wordpiece->nodes[node].id;
            *piece_size = at;
        }
        if (at == size)
            break;
        node = child_of(wordpiece, node, (unsigned char)bytes[at]);
    }
    return id;
}

static enum status encode_word(const struct wordpiece *wordpiece, const char *word, size_t size,
                               int64_t max_characters, struct ids *ids)
{
    const size_t before = ids->size;
    bool is_known =
        size <= (size_t)max_characters || utf8_length(word, size) <= (size_t)max_characters;
    for (size_t at = 0, piece_size = 0; at < size && is_known; at += piece_size) {
        const int32_t id = longest_piece(wordpiece, at == 0 ? ROOT_START : ROOT_INSIDE, word + at,
                                         size - at, &piece_size);
        is_known = id >= 0;
        const enum status code = is_known ? ids_push(ids, id) : STATUS_OK;
        if (code < 0)
            return code;
    }
    if (is_known)
        return STATUS_OK;
    ids->size = before;
    return ids_push(ids, wordpiece->unknown);
}

enum status wordpiece_encode(const struct wordpiece *wordpiece, const char *words, size_t size,
                             int64_t max_characters, struct ids *ids)
{
    CHECK(wordpiece->unknown >= 0, "a vocabulary opened without an unknown piece");
    enum status code = STATUS_OK;
    for (size_t at = 0; at < size && code == STATUS_OK;) {
        const char *space = memchr(words + at, ' ', size - at);
        const size_t end = space == NULL ? size : (size_t)(space - words);
        code = encode_word(wordpiece, words + at, end - at, max_characters, ids);
        at = end + 1;
    }
    return code;
}

/* Appends a piece to a line that began at start. */
static enum status append_piece(const char *piece, size_t size, size_t start, struct buffer *text)
{
    if (text->size > start && is_inside(piece, size))
        return buffer_append(text, piece + WORDPIECE_INSIDE_BYTES, size - WORDPIECE_INSIDE_BYTES);
    const enum status code = text->size > start ? buffer_append(text, " ", 1) : STATUS_OK;
    return code < 0 ? code : buffer_append(text, piece, size);
}

enum status wordpiece_decode_pieces(const char *pieces, size_t size, struct buffer *text)
{
    const size_t start = text->size;
    enum status code = STATUS_OK;
    for (size_t at = 0; at < size && code == STATUS_OK;) {
        const char *space = memchr(pieces + at, ' ', size - at);
        const size_t end = space == NULL ? size : (size_t)(space - pieces);
        if (end > at)
            code = append_piece(pieces + at, end - at, start, text);
        at = end + 1;
    }
    return code;
}

enum status wordpiece_decode(const struct wordpiece *wordpiece, const int32_t *ids, size_t n,
                             struct buffer *text)
{
    const size_t start = text->size;
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= wordpiece->pieces.size)
            return status_set(STATUS_DATA, "no piece has the id %" PRId32 " (0 to %" PRId32 ")",
                              ids[i], wordpiece->pieces.size - 1);
        size_t size;
        const char *piece = strings_get(&wordpiece->pieces, ids[i], &size);
        const enum status code = append_piece(piece, size, start, text);
        if (code < 0)
            return code;
    }
    return STATUS_OK;
}
