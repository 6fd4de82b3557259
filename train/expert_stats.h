/* How evenly each MoE layer uses its experts, over the steps since the last report. */
#ifndef MIXT_TRAIN_EXPERT_STATS_H
#define MIXT_TRAIN_EXPERT_STATS_H

#include "model/model.h"

enum { EXPERT_STATS_MAX_LAYERS = 32 };

struct expert_totals {
    const struct moe *moe; /* borrowed */
    double *importance;    /* [E] sums of gate weights (eq. 6) */
    double *load;          /* [E] sums of smooth loads (eq. 10) */
    int64_t *tokens;       /* [E] tokens really sent */
};

struct expert_stats {
    int64_t n_layers;
    struct expert_totals layers[EXPERT_STATS_MAX_LAYERS];
    double *host; /* owned: room for all totals and one download */
};

/* One layer's balance in plain numbers; an even layer has CVs of 0 and loads of 1. */
struct expert_balance {
    const char *name;
    int64_t n_experts, n_dead;       /* dead: below 1 % of an even share */
    double importance_cv2, load_cv2; /* CV squared of the totals */
    double load_min, load_max;       /* tokens sent, as a multiple of an even share */
};

enum status expert_stats_init(struct expert_stats *stats, struct model *model) STATUS_CHECKED;
void expert_stats_free(struct expert_stats *stats);

/* Adds a training pass; call after backend_sync(). */
void expert_stats_add(struct expert_stats *stats, const struct model *model,
                      const struct model_record *record, const struct pass *pass);

/* Balance of layer number index since the last clear. */
struct expert_balance expert_stats_balance(const struct expert_stats *stats, int64_t index);

/* Totals of this rank's tokens, as passes by parts leave them, become those of all ranks'.
 * Collective. */
enum status expert_stats_add_ranks(struct expert_stats *stats, struct comm *comm) STATUS_CHECKED;

void expert_stats_clear(struct expert_stats *stats);

#endif
