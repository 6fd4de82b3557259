/* Time of an update on many ranks. */
#include "model/plan_time.h"

enum { BYTES = 4, FORWARD_AND_BACKWARD = 3, OPERATIONS = 2, EXCHANGES = 4 };

double plan_all_to_all(const struct plan_machine *machine, int64_t ranks, double bytes)
{
    const int64_t node = machine->node;
    if (node <= 1 || node >= ranks || ranks % node != 0) {
        const double share = (double)(ranks - 1) / (double)ranks;
        return (double)(ranks - 1) * machine->latency_s + share * bytes / machine->bandwidth;
    }
    /* Ranks of a node tell each other how much, give each other what goes to their peers' nodes;
     * then peers exchange. */
    const int64_t nodes = ranks / node;
    const double inside = (double)(node - 1) / (double)node;
    const double between = (double)(nodes - 1) / (double)nodes;
    return (double)(2 * (node - 1) + nodes - 1) * machine->latency_s +
           (inside + between) * bytes / machine->bandwidth;
}

/* Tokens of one side that an update has on each rank. */
static double tokens_of(const struct config *config, int64_t ranks)
{
    return (double)config->train.batch_tokens * (double)config->train.accumulate / (double)ranks;
}

static double part_work(const struct plan_part *part)
{
    return part->work[PLAN_SOURCE] + part->work[PLAN_TARGET];
}

/* Multiply-adds of the update for one token of each side. */
static double training_work(const struct plan *plan, const struct config *config)
{
    double work = plan->pair_work * PLAN_SENTENCE_TOKENS;
    for (int64_t i = 0; i < plan->n_parts; i++)
        work += part_work(&plan->part[i]);
    work *= FORWARD_AND_BACKWARD;
    /* Hidden units once more: half of an expert. */
    for (int64_t i = 0; i < plan->n_parts && config->train.recompute_experts; i++)
        work += plan->part[i].kind == PLAN_EXPERTS ? part_work(&plan->part[i]) / 2 : 0;
    return work;
}

/* Values and gradients of a rank are read, both are written; moments read and written; so is what
 * the norm reads. */
static double update_bytes(const struct plan *plan, const struct config *config, int64_t ranks)
{
    const struct plan_memory memory = plan_training(plan, config, ranks);
    return 2 * memory.values + 3 * memory.gradients + 2 * memory.moments;
}

/* One rank's rows of the mixtures, for one all-to-all each, of a batch. */
static void add_exchange(struct plan_time *time, const struct plan_part *part,
                         const struct config *config, int64_t ranks,
                         const struct plan_machine *machine)
{
    const double batches = (double)config->train.accumulate;
    const double share = (double)(ranks - 1) / (double)ranks;
    for (int side = 0; side < PLAN_N_SIDES; side++) {
        if (part->work[side] <= 0)
            continue;
        const double rows =
            tokens_of(config, ranks) / batches * (double)config_moe_choices(&config->model.moe);
        const double row_bytes = rows * (double)config->model.dim * BYTES;
        const double count_bytes = (double)part->groups * BYTES;
        time->exchange_bytes += batches * share * (EXCHANGES * row_bytes + count_bytes);
        time->exchange_s += batches * (EXCHANGES * plan_all_to_all(machine, ranks, row_bytes) +
                                       plan_all_to_all(machine, ranks, count_bytes));
    }
}

struct plan_time plan_time(const struct plan *plan, const struct config *config, int64_t ranks,
                           const struct plan_machine *machine)
{
    struct plan_time time = {0};
    const double share = (double)(ranks - 1) / (double)ranks;
    const double tokens = tokens_of(config, ranks);
    time.compute_s = training_work(plan, config) * tokens * OPERATIONS / machine->flops;
    if (machine->memory > 0)
        time.update_s = update_bytes(plan, config, ranks) / machine->memory;
    for (int64_t i = 0; i < plan->n_parts; i++) {
        const struct plan_part *part = &plan->part[i];
        if (part->kind == PLAN_EXPERTS)
            add_exchange(&time, part, config, ranks, machine);
        else
            time.reduce_bytes += 2 * share * (double)part->parameters * BYTES;
    }
    time.reduce_s =
        2 * (double)(ranks - 1) * machine->latency_s + time.reduce_bytes / machine->bandwidth;
    const double sides = config->model.type == CONFIG_MODEL_LM ? 1 : 2;
    time.tokens_a_second = sides * tokens * (double)ranks / plan_time_total(&time);
    return time;
}

double plan_time_total(const struct plan_time *time)
{
    return time->compute_s + time->update_s + time->exchange_s + time->reduce_s;
}
