/* Text, JSON and heat maps of the tallies. */
#include "tools/routing/report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "tools/routing/heat_map.h"

/* -- which experts, and their tokens -- */

struct ranked {
    int64_t expert, load;
};

static int compare(const void *a, const void *b)
{
    const struct ranked *left = a, *right = b;
    if (left->load != right->load)
        return left->load > right->load ? -1 : 1;
    return (left->expert > right->expert) - (left->expert < right->expert);
}

/* All experts, those with most tokens first; owned by the caller. NULL without memory. */
static struct ranked *rank_experts(const struct tally *tally)
{
    CHECK(tally->n_experts > 0, "%lld experts", (long long)tally->n_experts);
    struct ranked *ranked = calloc((size_t)tally->n_experts, sizeof *ranked);
    for (int64_t e = 0; ranked && e < tally->n_experts; e++)
        ranked[e] = (struct ranked){.expert = e, .load = tally->load[e]};
    if (ranked)
        qsort(ranked, (size_t)tally->n_experts, sizeof *ranked, compare);
    return ranked;
}

/* Writes a token in its line, "a man in a [red] shirt": pieces joined, U+2581 as a space. */
static enum status write_context(const struct subword *subword, const struct tally_token *token,
                                 struct buffer *text)
{
    static const char space[] = "\xE2\x96\x81";
    const size_t space_size = sizeof space - 1;
    enum status status = STATUS_OK;
    buffer_clear(text);
    for (int i = 0; i < token->n_ids && status >= 0; i++) {
        const char *piece = subword_piece(subword, token->ids[i]);
        const bool is_word = strncmp(piece, space, space_size) == 0;
        const bool is_it = i == token->n_before;
        const bool is_apart = is_word || !subword_is_text(subword, token->ids[i]);
        const char *before = is_apart && text->size > 0 ? " " : "";
        status = buffer_printf(text, "%s%s%s%s", before, is_it ? "[" : "",
                               piece + (is_word ? space_size : 0), is_it ? "]" : "");
    }
    return status;
}

/* -- text -- */

static void print_summary(const char *name, const struct tally *tally)
{
    const struct tally_summary summary = tally_summarize(tally);
    const double tokens = tally->tokens ? (double)tally->tokens : 1;
    printf("%s: %" PRId64 " experts, %" PRId64 " tokens, %.2f experts a token", name,
           tally->n_experts, tally->tokens, (double)tally->choices / tokens);
    if (tally->unrouted)
        printf(", %" PRId64 " tokens without one", tally->unrouted);
    printf("\n  load: CV %.4f, largest %.3f x mean, entropy %.4f of %.4f nats, %" PRId64
           " dead experts\n  importance: CV %.4f\n  weights of a token: entropy %.4f nats\n",
           summary.load_cv, summary.largest_load, summary.load_entropy,
           log((double)tally->n_experts), summary.n_dead, summary.importance_cv,
           summary.gate_entropy);
}

static enum status print_expert(const struct collect *collect, const struct tally *tally,
                                int64_t expert, struct buffer *room)
{
    const double even = (double)tally->choices / (double)tally->n_experts;
    printf("  expert %" PRId64 ": %" PRId64 " tokens (%.2f x mean), importance %.1f\n", expert,
           tally->load[expert], even > 0 ? (double)tally->load[expert] / even : 0,
           tally->importance[expert]);
    for (int64_t i = 0; i < tally->top_count[expert]; i++) {
        const struct tally_token *token = &tally->top[expert * tally->n_top + i];
        const enum status status = write_context(collect->model.subword, token, room);
        if (status < 0)
            return status;
        printf("    %.4f  %s\n", token->weight, room->data);
    }
    return STATUS_OK;
}

enum status report_text(const struct collect *collect, int64_t n_experts)
{
    struct buffer room = {0};
    enum status status = STATUS_OK;
    for (int64_t l = 0; l < collect->n_layers && status >= 0; l++) {
        const struct tally *tally = &collect->tallies[l];
        struct ranked *ranked = rank_experts(tally);
        if (!ranked)
            status = status_set(STATUS_MEMORY, "no memory to list experts");
        else
            print_summary(collect->layers[l]->name, tally);
        for (int64_t i = 0; i < tally->n_experts && i < n_experts && status >= 0; i++)
            status = print_expert(collect, tally, ranked[i].expert, &room);
        if (status >= 0 && n_experts < tally->n_experts)
            printf("  and %" PRId64 " experts more, with fewer tokens (--experts)\n",
                   tally->n_experts - n_experts);
        free(ranked);
    }
    buffer_free(&room);
    return status;
}

/* -- JSON; NULL where there is no memory -- */

/* Appends and takes over the item; on failure gives the list back, too. */
static json_t *append(json_t *list, json_t *item)
{
    if (list && json_array_append_new(list, item) == 0)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *json_of_tokens(const struct collect *collect, const struct tally *tally,
                              int64_t expert)
{
    struct buffer text = {0};
    json_t *list = json_array();
    for (int64_t i = 0; i < tally->top_count[expert] && list; i++) {
        const struct tally_token *token = &tally->top[expert * tally->n_top + i];
        json_t *item = NULL;
        if (write_context(collect->model.subword, token, &text) >= 0)
            item =
                json_pack("{s:f, s:I, s:I, s:s, s:s}", "weight", token->weight, "line",
                          (json_int_t)token->line, "position", (json_int_t)token->position, "piece",
                          subword_piece(collect->model.subword, token->ids[token->n_before]),
                          "context", text.data);
        list = append(list, item);
    }
    buffer_free(&text);
    return list;
}

static json_t *json_of_experts(const struct collect *collect, const struct tally *tally,
                               int64_t n_experts)
{
    struct ranked *ranked = rank_experts(tally);
    json_t *list = ranked ? json_array() : NULL;
    for (int64_t i = 0; i < tally->n_experts && i < n_experts && list; i++) {
        const int64_t expert = ranked[i].expert;
        list = append(list, json_pack("{s:I, s:o}", "expert", (json_int_t)expert, "tokens",
                                      json_of_tokens(collect, tally, expert)));
    }
    free(ranked);
    return list;
}

static json_t *json_of_layer(const struct collect *collect, int64_t l, int64_t n_experts)
{
    const struct tally *tally = &collect->tallies[l];
    const struct tally_summary summary = tally_summarize(tally);
    json_t *load = json_array(), *importance = json_array();
    for (int64_t e = 0; e < tally->n_experts; e++) {
        load = append(load, json_integer(tally->load[e]));
        importance = append(importance, json_real(tally->importance[e]));
    }
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:I, s:o, s:o, s:o}",
                     "name", collect->layers[l]->name, "experts", (json_int_t)tally->n_experts,
                     "tokens", (json_int_t)tally->tokens, "choices", (json_int_t)tally->choices,
                     "unrouted", (json_int_t)tally->unrouted, "gate_entropy", summary.gate_entropy,
                     "load_entropy", summary.load_entropy, "importance_cv", summary.importance_cv,
                     "load_cv", summary.load_cv, "largest_load", summary.largest_load,
                     "dead_experts", (json_int_t)summary.n_dead, "load", load, "importance",
                     importance, "typical", json_of_experts(collect, tally, n_experts));
}

enum status report_json(const struct collect *collect, int64_t n_experts)
{
    json_t *layers = json_array();
    for (int64_t l = 0; l < collect->n_layers && layers; l++)
        layers = append(layers, json_of_layer(collect, l, n_experts));
    json_t *root = json_pack("{s:I, s:o}", "lines", (json_int_t)collect->lines, "layers", layers);
    if (!root)
        return status_set(STATUS_MEMORY, "no memory for the JSON text");
    json_dumpf(root, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(15));
    printf("\n");
    json_decref(root);
    return STATUS_OK;
}

/* -- heat maps -- */

/* As many columns as a group has experts, in a flat mixture up to 64. */
static int64_t columns_of(const struct moe *moe)
{
    enum { MOST_COLUMNS = 64 };
    if (moe->config.n_levels > 1)
        return moe->config.gate[1].n_experts;
    return moe->n_experts < MOST_COLUMNS ? moe->n_experts : MOST_COLUMNS;
}

static void fill_panels(const struct collect *collect, int64_t l, struct heat_map_panel *panels)
{
    static const char *const names[] = {"load", "importance"};
    const struct tally *tally = &collect->tallies[l];
    for (int kind = 0; kind < 2; kind++) {
        struct heat_map_panel *panel = &panels[kind];
        double sum = 0;
        panel->count = tally->n_experts;
        panel->columns = columns_of(collect->layers[l]);
        snprintf(panel->title, sizeof panel->title, "%s, %s", collect->layers[l]->name,
                 names[kind]);
        for (int64_t e = 0; e < tally->n_experts; e++) {
            panel->values[e] = kind ? tally->importance[e] : (double)tally->load[e];
            sum += panel->values[e];
        }
        for (int64_t e = 0; e < tally->n_experts && sum > 0; e++)
            panel->values[e] *= (double)tally->n_experts / sum;
    }
}

enum status report_plot(const struct collect *collect, const char *path)
{
    struct heat_map_panel panels[2 * COLLECT_MAX_LAYERS] = {{{0}, NULL, 0, 0}};
    const int64_t n_panels = 2 * collect->n_layers;
    bool is_whole = true;
    for (int64_t i = 0; i < n_panels; i++) {
        panels[i].values =
            calloc((size_t)collect->tallies[i / 2].n_experts, sizeof *panels[i].values);
        is_whole &= panels[i].values != NULL;
    }
    enum status status = STATUS_OK;
    if (!is_whole)
        status = status_set(STATUS_MEMORY, "no memory for a heat map");
    for (int64_t l = 0; l < collect->n_layers && is_whole; l++)
        fill_panels(collect, l, &panels[2 * l]);
    if (status >= 0)
        status = heat_map_write(path, panels, n_panels);
    for (int64_t i = 0; i < n_panels; i++)
        free(panels[i].values);
    return status;
}
