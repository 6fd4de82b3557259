/* Totals of the gates, on the host. */
#include "train/expert_stats.h"

#include <stdlib.h>
#include <string.h>

#include "train/ranks.h"

enum { ARRAYS = 3 }; /* a layer's importance, load and tokens */

static int64_t experts_of(const struct expert_stats *stats, int64_t layer)
{
    return stats->layers[layer].moe->n_experts;
}

enum status expert_stats_init(struct expert_stats *stats, struct model *model)
{
    *stats = (struct expert_stats){0};
    struct moe *layers[EXPERT_STATS_MAX_LAYERS];
    stats->n_layers = model_moe_layers(model, layers, EXPERT_STATS_MAX_LAYERS);
    if (stats->n_layers == 0)
        return STATUS_OK;
    const int64_t n_experts = layers[0]->n_experts;
    stats->host = calloc((size_t)((ARRAYS * stats->n_layers + 1) * n_experts + 1), sizeof(double));
    if (!stats->host)
        return status_set(STATUS_MEMORY, "no memory for the experts' statistics");
    double *next = stats->host;
    for (int64_t l = 0; l < stats->n_layers; l++) {
        stats->layers[l].moe = layers[l];
        stats->layers[l].importance = next;
        stats->layers[l].load = next + n_experts;
        stats->layers[l].tokens = (int64_t *)(void *)(next + 2 * n_experts);
        next += ARRAYS * n_experts;
    }
    return STATUS_OK;
}

void expert_stats_free(struct expert_stats *stats)
{
    free(stats->host);
    *stats = (struct expert_stats){0};
}

static void add_vector(double *total, const struct tensor *vector, const struct pass *pass,
                       void *room)
{
    const int64_t count = tensor_count(vector);
    const bool is_double = vector->dtype == DTYPE_F64;
    pass->backend->ops->download(pass->backend, room, vector,
                                 (size_t)count * dtype_size(vector->dtype));
    for (int64_t e = 0; e < count; e++)
        total[e] += is_double ? ((const double *)room)[e] : (double)((const float *)room)[e];
}

void expert_stats_add(struct expert_stats *stats, const struct model *model,
                      const struct model_record *record, const struct pass *pass)
{
    for (int64_t l = 0; l < stats->n_layers; l++) {
        const int64_t n_experts = experts_of(stats, l);
        struct expert_totals *totals = &stats->layers[l];
        double *room = stats->host + ARRAYS * n_experts * stats->n_layers;
        const struct moe_record *moe = model_moe_record(model, record, l);
        add_vector(totals->importance, &moe->importance, pass, room);
        add_vector(totals->load, &moe->load, pass, room);
        int32_t *starts = (int32_t *)(void *)room;
        const int64_t last = totals->moe->config.n_levels - 1;
        pass->backend->ops->download(pass->backend, starts, &moe->offsets[last],
                                     (size_t)(n_experts + 1) * sizeof *starts);
        for (int64_t e = 0; e < n_experts; e++)
            totals->tokens[e] += starts[e + 1] - starts[e];
    }
}

enum status expert_stats_add_ranks(struct expert_stats *stats, struct comm *comm)
{
    enum status status = STATUS_OK;
    for (int64_t l = 0; l < stats->n_layers && status >= 0; l++) {
        const int64_t n_experts = experts_of(stats, l);
        struct expert_totals *totals = &stats->layers[l];
        double *counts = stats->host + ARRAYS * n_experts * stats->n_layers;
        for (int64_t e = 0; e < n_experts; e++)
            counts[e] = (double)totals->tokens[e];
        status = ranks_sum(comm, totals->importance, 2 * n_experts); /* and load behind it */
        if (status >= 0)
            status = ranks_sum(comm, counts, n_experts);
        for (int64_t e = 0; e < n_experts; e++)
            totals->tokens[e] = (int64_t)counts[e];
    }
    return status;
}

static double squared_variation(const double *v, int64_t count)
{
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < count; i++)
        mean += v[i] / (double)count;
    for (int64_t i = 0; i < count; i++)
        variance += (v[i] - mean) * (v[i] - mean) / (double)count;
    return mean == 0 ? 0 : variance / (mean * mean);
}

struct expert_balance expert_stats_balance(const struct expert_stats *stats, int64_t index)
{
    const struct expert_totals *totals = &stats->layers[index];
    const int64_t n_experts = experts_of(stats, index);
    struct expert_balance balance = {.name = totals->moe->name,
                                     .n_experts = n_experts,
                                     .importance_cv2 =
                                         squared_variation(totals->importance, n_experts),
                                     .load_cv2 = squared_variation(totals->load, n_experts)};
    double even = 0;
    for (int64_t e = 0; e < n_experts; e++)
        even += (double)totals->tokens[e] / (double)n_experts;
    for (int64_t e = 0; e < n_experts && even > 0; e++) {
        const double share = (double)totals->tokens[e] / even;
        balance.load_min = e == 0 || share < balance.load_min ? share : balance.load_min;
        balance.load_max = share > balance.load_max ? share : balance.load_max;
        balance.n_dead += share < 0.01;
    }
    return balance;
}

void expert_stats_clear(struct expert_stats *stats)
{
    if (stats->n_layers)
        memset(stats->host, 0,
               (size_t)(ARRAYS * stats->n_layers * experts_of(stats, 0)) * sizeof(double));
}
