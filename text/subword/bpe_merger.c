/* A heap of possible merges by rank and place, over a linked list of symbols: n log n in the length
 * of the word.
 *
 * A step merges one pair at all its places, from the left, before it looks at what that made
 * possible. With dropout each possible merge is left out of a step at random; only those that come
 * up before the first survivor, and the other places of its pair, need a draw. */
#include "text/subword/bpe_merger.h"

#include <stdlib.h>
#include <string.h>

#include "text/subword/bpe_text.h"
#include "text/utf8.h"

enum { FIRST_CAPACITY = 64, WORDS_A_BLOCK = 4, ENTRIES_A_SYMBOL = 3 };

static size_t hash_pair(int32_t left, int32_t right)
{
    uint64_t hash = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    hash *= UINT64_C(0x9E3779B97F4A7C15);
    hash ^= hash >> 31;
    return (size_t)(hash * UINT64_C(0xBF58476D1CE4E5B9) >> 20);
}

static struct bpe_rule *find_rule(const struct bpe_rules *rules, int32_t left, int32_t right)
{
    size_t slot = hash_pair(left, right) & (rules->n_slots - 1);
    for (;; slot = (slot + 1) & (rules->n_slots - 1)) {
        struct bpe_rule *rule = &rules->slots[slot];
        if (rule->rank == BPE_NO_RANK || (rule->left == left && rule->right == right))
            return rule;
    }
}

static enum status join(const struct strings *symbols, struct bpe_merge merge, struct buffer *text)
{
    size_t left_size = 0, right_size = 0;
    const char *left = strings_get(symbols, merge.left, &left_size);
    const char *right = strings_get(symbols, merge.right, &right_size);
    buffer_clear(text);
    enum status status = buffer_append(text, left, left_size);
    if (status == STATUS_OK)
        status = buffer_append(text, right, right_size);
    return status;
}

static enum status add_rules(struct bpe_rules *rules)
{
    struct bpe_codes *codes = rules->codes;
    struct buffer text = {0};
    enum status status = STATUS_OK;
    for (size_t i = 0; i < codes->n_merges && status == STATUS_OK; i++) {
        const struct bpe_merge merge = codes->merges[i];
        struct bpe_rule *rule = find_rule(rules, merge.left, merge.right);
        if (rule->rank != BPE_NO_RANK)
            continue;
        *rule = (struct bpe_rule){merge.left, merge.right, 0, (uint32_t)i};
        status = join(&codes->symbols, merge, &text);
        if (status == STATUS_OK)
            status = strings_add(&codes->symbols, text.data, text.size, &rule->merged);
    }
    buffer_free(&text);
    return status;
}

/* Of several merges to the same symbol the one is undone whose last line in the codes is first. */
static enum status find_parts(struct bpe_rules *rules)
{
    const struct bpe_codes *codes = rules->codes;
    const size_t n_symbols = (size_t)codes->symbols.size + 1;
    bool *is_seen = calloc(rules->n_slots, sizeof *is_seen);
    rules->parts = malloc(n_symbols * sizeof *rules->parts);
    if (rules->parts == NULL || is_seen == NULL) {
        free(is_seen);
        return status_set(STATUS_MEMORY, "no memory for %zu symbols", n_symbols);
    }
    memset(rules->parts, 0xFF, n_symbols * sizeof *rules->parts);
    for (size_t i = codes->n_merges; i-- > 0;) {
        const struct bpe_rule *rule =
            find_rule(rules, codes->merges[i].left, codes->merges[i].right);
        bool *rule_is_seen = &is_seen[rule - rules->slots];
        if (!*rule_is_seen)
            rules->parts[rule->merged] = (int32_t)i;
        *rule_is_seen = true;
    }
    free(is_seen);
    return STATUS_OK;
}

/* The symbol of a character, -1 where the codes have none. */
static int32_t find_symbol(const struct strings *symbols, const char *bytes, size_t size,
                           bool is_final)
{
    char final[UTF8_MAX_BYTES + BPE_WORD_END_BYTES];
    if (!is_final)
        return strings_find(symbols, bytes, size);
    memcpy(final, bytes, size);
    memcpy(final + size, BPE_WORD_END, BPE_WORD_END_BYTES);
    return strings_find(symbols, final, size + BPE_WORD_END_BYTES);
}

enum status bpe_rules_init(struct bpe_rules *rules, struct bpe_codes *codes)
{
    *rules = (struct bpe_rules){.codes = codes, .n_slots = FIRST_CAPACITY};
    while (rules->n_slots < 2 * codes->n_merges)
        rules->n_slots *= 2;
    rules->slots = malloc(rules->n_slots * sizeof *rules->slots);
    if (rules->slots == NULL)
        return status_set(STATUS_MEMORY, "no memory for %zu merges", codes->n_merges);
    memset(rules->slots, 0xFF, rules->n_slots * sizeof *rules->slots);
    const enum status status = add_rules(rules);
    for (int c = 0; c < BPE_ASCII && status == STATUS_OK; c++) {
        const char character = (char)c;
        rules->inside[c] = find_symbol(&codes->symbols, &character, 1, false);
        rules->final[c] = find_symbol(&codes->symbols, &character, 1, true);
    }
    return status < 0 ? status : find_parts(rules);
}

void bpe_rules_free(struct bpe_rules *rules)
{
    free(rules->slots);
    free(rules->parts);
    *rules = (struct bpe_rules){0};
}

/* True where a possible merge survives. */
static bool draw(struct bpe_chance *chance)
{
    if (chance == NULL)
        return true;
    if (chance->n_left == 0) {
        chance->words = random_philox(chance->key, chance->row, chance->block);
        chance->n_left = WORDS_A_BLOCK;
        chance->row += ++chance->block == 0 ? 1 : 0;
    }
    return random_unit(chance->words.word[--chance->n_left]) > chance->dropout;
}

/* Room for n symbols. Each step takes two symbols off the word and adds two entries to the heap at
 * most, so that three a symbol are enough. */
static enum status reserve(struct bpe_merger *merger, size_t n)
{
    if (n <= merger->capacity)
        return STATUS_OK;
    const size_t capacity = n + n / 2 + FIRST_CAPACITY;
    bpe_merger_free(merger);
    merger->nodes = malloc(capacity * sizeof *merger->nodes);
    merger->heap = malloc(ENTRIES_A_SYMBOL * capacity * sizeof *merger->heap);
    merger->dropped = malloc(ENTRIES_A_SYMBOL * capacity * sizeof *merger->dropped);
    merger->chosen = malloc(capacity * sizeof *merger->chosen);
    if (merger->nodes == NULL || merger->heap == NULL || merger->dropped == NULL ||
        merger->chosen == NULL)
        return status_set(STATUS_MEMORY, "no memory for a word of %zu characters", n);
    merger->capacity = capacity;
    return STATUS_OK;
}

void bpe_merger_free(struct bpe_merger *merger)
{
    free(merger->nodes);
    free(merger->heap);
    free(merger->dropped);
    free(merger->chosen);
    *merger = (struct bpe_merger){0};
}

static void push(struct bpe_merger *merger, uint64_t entry)
{
    uint64_t *heap = merger->heap;
    size_t at = merger->n_heap++;
    for (; at > 0 && entry < heap[(at - 1) / 2]; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = entry;
}

static uint64_t pop(struct bpe_merger *merger)
{
    uint64_t *heap = merger->heap;
    const uint64_t top = heap[0], last = heap[--merger->n_heap];
    size_t at = 0;
    for (size_t child = 1; child < merger->n_heap; child = 2 * at + 1) {
        child += child + 1 < merger->n_heap && heap[child + 1] < heap[child] ? 1 : 0;
        if (last <= heap[child])
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return top;
}

/* Looks up the merge of a place with the next symbol. */
static void update_rank(struct bpe_merger *merger, const struct bpe_rules *rules, uint32_t place)
{
    struct bpe_node *node = &merger->nodes[place];
    node->rank = BPE_NO_RANK;
    if (node->next == merger->n_nodes || node->symbol < 0)
        return;
    const int32_t right = merger->nodes[node->next].symbol;
    if (right >= 0)
        node->rank = find_rule(rules, node->symbol, right)->rank;
    if (node->rank != BPE_NO_RANK)
        push(merger, (uint64_t)node->rank << 32 | place);
}

static void add_node(struct bpe_merger *merger, int32_t symbol, size_t start)
{
    const uint32_t place = merger->n_nodes++;
    merger->nodes[place] = (struct bpe_node){
        .start = start, .symbol = symbol, .previous = place - 1, .next = place + 1};
}

/* One node a character; the end of the word is in the last one, or by itself in version 0.1. */
static enum status cut(struct bpe_merger *merger, const struct bpe_rules *rules, const char *word,
                       size_t size)
{
    CHECK(size < UINT32_MAX - 2, "a word of %zu bytes", size);
    const struct strings *symbols = &rules->codes->symbols;
    const bool is_bytes = rules->codes->version == BPE_VERSION_BYTE;
    const bool has_own_end = rules->codes->version == BPE_VERSION_0_1;
    const enum status status = reserve(merger, size + 1);
    if (status < 0)
        return status;
    merger->n_nodes = 0;
    merger->n_heap = 0;
    for (size_t at = 0, length = 0; at < size; at += length) {
        const unsigned char first = (unsigned char)word[at];
        length = bpe_character_bytes(word + at, size - at, is_bytes);
        const bool is_final = at + length == size && !has_own_end;
        if (first < BPE_ASCII)
            add_node(merger, (is_final ? rules->final : rules->inside)[first], at);
        else
            add_node(merger, find_symbol(symbols, word + at, length, is_final), at);
    }
    if (has_own_end)
        add_node(merger, strings_find(symbols, BPE_WORD_END, BPE_WORD_END_BYTES), size);
    return STATUS_OK;
}

static void merge(struct bpe_merger *merger, const struct bpe_rules *rules, uint32_t place)
{
    struct bpe_node *node = &merger->nodes[place];
    struct bpe_node *right = &merger->nodes[node->next];
    node->symbol = find_rule(rules, node->symbol, right->symbol)->merged;
    node->next = right->next;
    right->rank = BPE_NO_RANK;
    if (node->next < merger->n_nodes)
        merger->nodes[node->next].previous = place;
    update_rank(merger, rules, place);
    if (place > 0)
        update_rank(merger, rules, node->previous);
}

/* Merges the first pair in the order of the codes at all its places; false where none is left. */
static bool step(struct bpe_merger *merger, const struct bpe_rules *rules,
                 struct bpe_chance *chance)
{
    size_t n_chosen = 0, n_dropped = 0;
    uint32_t rank = BPE_NO_RANK;
    while (merger->n_heap > 0 && (n_chosen == 0 || merger->heap[0] >> 32 == rank)) {
        const uint64_t entry = pop(merger);
        const uint32_t place = (uint32_t)entry;
        if (merger->nodes[place].rank != entry >> 32)
            continue;
        if (draw(chance)) {
            rank = (uint32_t)(entry >> 32);
            merger->chosen[n_chosen++] = place;
        } else {
            merger->dropped[n_dropped++] = entry;
        }
    }
    for (size_t i = 0; i < n_chosen; i++) {
        /* where places overlap, as in "x x x", the earlier one took the symbol away */
        if (merger->nodes[merger->chosen[i]].rank == rank)
            merge(merger, rules, merger->chosen[i]);
    }
    for (size_t i = 0; i < n_dropped; i++)
        push(merger, merger->dropped[i]);
    return n_chosen > 0;
}

enum status bpe_merger_run(struct bpe_merger *merger, const struct bpe_rules *rules,
                           const char *word, size_t size, struct bpe_chance *chance)
{
    const enum status status = cut(merger, rules, word, size);
    if (status < 0)
        return status;
    for (uint32_t place = 0; place + 1 < merger->n_nodes; place++)
        update_rank(merger, rules, place);
    while (step(merger, rules, chance))
        continue;
    return STATUS_OK;
}
