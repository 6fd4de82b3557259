/* Every distinct n-gram is one node of a trie that lives in a hash table: the node of its first n-1
 * symbols, and its last symbol, which is a node itself. So equal n-grams meet in one node without
 * hashing whole n-grams, and each costs one look-up. */
#include "text/metric/ngrams.h"

#include <stdlib.h>
#include <string.h>

#define MAX_NODES ((size_t)1 << 31)

/* In place of a node: an n-gram that was not noted, and what is in front of a character. */
#define NO_NODE UINT32_MAX

/* An n-gram noted since ngrams_start(); of an earlier time when the stamp is old. */
struct ngram_node {
    uint32_t stamp;
    uint32_t parent; /* node of the n-gram without its last symbol; for a word, its hash */
    uint32_t symbol; /* node of the last symbol; a character; for a word, where its bytes start */
    uint32_t size;   /* bytes of a word; 0 for all others */
    uint32_t most;   /* largest count in one noted text */
    uint32_t count;  /* in the text at hand */
    uint32_t text;   /* the text that count belongs to */
};

void ngrams_free(struct ngrams *ngrams)
{
    free(ngrams->nodes);
    free(ngrams->sequence);
    free(ngrams->starts);
    *ngrams = (struct ngrams){0};
}

/* The table is at least twice as large as the number of n-grams; a new stamp empties it. */
enum status ngrams_start(struct ngrams *ngrams, const char *words, size_t n_ngrams)
{
    size_t wanted = 64;
    while (wanted < 2 * n_ngrams)
        wanted *= 2;
    if (wanted > MAX_NODES)
        return status_set(STATUS_DATA, "a line with %zu n-grams is too long", n_ngrams);
    if (wanted > ngrams->n_nodes) {
        free(ngrams->nodes);
        ngrams->n_nodes = 0;
        ngrams->nodes = calloc(wanted, sizeof *ngrams->nodes);
        if (ngrams->nodes == NULL)
            return status_set(STATUS_MEMORY, "no memory for %zu n-grams of one line", n_ngrams);
        ngrams->n_nodes = wanted;
        ngrams->stamp = 0;
    }
    if (ngrams->stamp == UINT32_MAX) {
        memset(ngrams->nodes, 0, ngrams->n_nodes * sizeof *ngrams->nodes);
        ngrams->stamp = 0;
    }
    ngrams->stamp++;
    ngrams->mask = (uint32_t)(wanted - 1);
    ngrams->words = words;
    ngrams->n_sequence = 0;
    return STATUS_OK;
}

enum status ngrams_reserve(struct ngrams *ngrams, size_t n_symbols)
{
    if (n_symbols <= ngrams->sequence_capacity)
        return STATUS_OK;
    const size_t wanted = n_symbols + n_symbols / 2;
    free(ngrams->sequence);
    free(ngrams->starts);
    ngrams->n_sequence = 0;
    ngrams->sequence_capacity = 0;
    ngrams->sequence = malloc(wanted * sizeof *ngrams->sequence);
    ngrams->starts = malloc(wanted * sizeof *ngrams->starts);
    if (ngrams->sequence == NULL || ngrams->starts == NULL)
        return status_set(STATUS_MEMORY, "no memory for %zu words or characters", n_symbols);
    ngrams->sequence_capacity = wanted;
    return STATUS_OK;
}

/* Spreads the bits of a key over the low bits of the result (a multiplication by an odd number near
 * 2^64 over the golden ratio). */
static uint32_t mix(uint64_t key)
{
    key = (key ^ (key >> 29)) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(key >> 32);
}

static uint32_t hash_bytes(const char *bytes, size_t size)
{
    uint64_t hash = size;
    for (; size >= 8; bytes += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        hash = (hash ^ word) * UINT64_C(0xFF51AFD7ED558CCD);
        hash ^= hash >> 32;
    }
    uint64_t rest = 0;
    for (size_t i = 0; i < size; i++)
        rest = rest << 8 | (unsigned char)bytes[i];
    return mix((hash ^ rest) * UINT64_C(0xC4CEB9FE1A85EC53));
}

/* The node of a word, or the free one where it belongs. */
static uint32_t word_slot(const struct ngrams *ngrams, const char *bytes, size_t size,
                          uint32_t hash)
{
    const uint32_t mask = ngrams->mask;
    for (uint32_t slot = hash & mask;; slot = (slot + 1) & mask) {
        const struct ngram_node *node = &ngrams->nodes[slot];
        if (node->stamp != ngrams->stamp)
            return slot;
        if (node->size == size && node->parent == hash &&
            memcmp(ngrams->words + node->symbol, bytes, size) == 0)
            return slot;
    }
}

/* The same for n-grams, and for characters with NO_NODE in front. */
static uint32_t ngram_slot(const struct ngrams *ngrams, uint32_t parent, uint32_t symbol)
{
    const uint32_t mask = ngrams->mask;
    const uint32_t hash = mix(((uint64_t)parent << 32 | symbol) + 1);
    for (uint32_t slot = hash & mask;; slot = (slot + 1) & mask) {
        const struct ngram_node *node = &ngrams->nodes[slot];
        if (node->stamp != ngrams->stamp)
            return slot;
        if (node->symbol == symbol && node->parent == parent && node->size == 0)
            return slot;
    }
}

static uint32_t note_ngram(struct ngrams *ngrams, uint32_t parent, uint32_t symbol)
{
    const uint32_t slot = ngram_slot(ngrams, parent, symbol);
    struct ngram_node *node = &ngrams->nodes[slot];
    if (node->stamp != ngrams->stamp)
        *node = (struct ngram_node){.stamp = ngrams->stamp, .parent = parent, .symbol = symbol};
    return slot;
}

static uint32_t found(const struct ngrams *ngrams, uint32_t slot)
{
    return ngrams->nodes[slot].stamp == ngrams->stamp ? slot : NO_NODE;
}

static void add_symbol(struct ngrams *ngrams, uint32_t symbol)
{
    ngrams->sequence[ngrams->n_sequence++] = symbol;
}

void ngrams_note_word(struct ngrams *ngrams, size_t start, size_t size)
{
    const uint32_t hash = hash_bytes(ngrams->words + start, size);
    const uint32_t slot = word_slot(ngrams, ngrams->words + start, size, hash);
    struct ngram_node *node = &ngrams->nodes[slot];
    if (node->stamp != ngrams->stamp)
        *node = (struct ngram_node){.stamp = ngrams->stamp,
                                    .parent = hash,
                                    .symbol = (uint32_t)start,
                                    .size = (uint32_t)size};
    add_symbol(ngrams, slot);
}

void ngrams_find_word(struct ngrams *ngrams, const char *bytes, size_t size)
{
    const uint32_t hash = hash_bytes(bytes, size);
    add_symbol(ngrams, found(ngrams, word_slot(ngrams, bytes, size, hash)));
}

void ngrams_note_character(struct ngrams *ngrams, uint32_t code_point)
{
    add_symbol(ngrams, note_ngram(ngrams, NO_NODE, code_point));
}

void ngrams_find_character(struct ngrams *ngrams, uint32_t code_point)
{
    add_symbol(ngrams, found(ngrams, ngram_slot(ngrams, NO_NODE, code_point)));
}

/* Counts one occurrence; returns the count in this text so far. */
static uint32_t count_node(struct ngram_node *node, uint32_t text)
{
    if (node->text != text) {
        node->text = text;
        node->count = 0;
    }
    return ++node->count;
}

void ngrams_note(struct ngrams *ngrams, size_t order, uint32_t text)
{
    uint32_t *starts = ngrams->starts;
    const uint32_t *sequence = ngrams->sequence;
    for (size_t n = 1; n <= order && n <= ngrams->n_sequence; n++) {
        for (size_t i = 0; i + n <= ngrams->n_sequence; i++) {
            starts[i] = n == 1 ? sequence[i] : note_ngram(ngrams, starts[i], sequence[i + n - 1]);
            struct ngram_node *node = &ngrams->nodes[starts[i]];
            const uint32_t count = count_node(node, text);
            node->most = count > node->most ? count : node->most;
        }
    }
    ngrams->n_sequence = 0;
}

/* The node of the n-gram of n symbols that starts at i, from that of n-1. */
static uint32_t longer(const struct ngrams *ngrams, size_t i, size_t n)
{
    const uint32_t symbol = ngrams->sequence[i + n - 1];
    if (n == 1)
        return symbol;
    if (ngrams->starts[i] == NO_NODE || symbol == NO_NODE)
        return NO_NODE;
    return found(ngrams, ngram_slot(ngrams, ngrams->starts[i], symbol));
}

void ngrams_match(struct ngrams *ngrams, size_t order, uint32_t text, int64_t *matches)
{
    for (size_t n = 1; n <= order && n <= ngrams->n_sequence; n++) {
        for (size_t i = 0; i + n <= ngrams->n_sequence; i++) {
            ngrams->starts[i] = longer(ngrams, i, n);
            if (ngrams->starts[i] == NO_NODE)
                continue;
            struct ngram_node *node = &ngrams->nodes[ngrams->starts[i]];
            matches[n - 1] += count_node(node, text) <= node->most ? 1 : 0;
        }
    }
    ngrams->n_sequence = 0;
}
