/* What the ranks of a training agree on. */
#include "train/ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/parallel.h"

/* -- before the start -- */

static bool has_mixtures(const struct config_moe *moe)
{
    for (int l = 1; l <= CONFIG_MAX_LAYERS; l++)
        if (moe->after.encoder[l] || moe->after.decoder[l])
            return true;
    return false;
}

/* What would make bits depend on the number of ranks. */
static enum status check_reproducible(const struct config *config, int size)
{
    const struct config_moe *moe = &config->model.moe;
    if (config->dist.parts < size) {
        (void)status_set(STATUS_CONFIG, "dist.parts %lld with dist.reproducible on %d ranks",
                         (long long)config->dist.parts, size);
        status_hint("each rank computes at least one part: start fewer, or use more parts");
        return STATUS_CONFIG;
    }
    if (config->train.threads > 1)
        return status_set(STATUS_CONFIG,
                          "train.threads %lld with dist.reproducible, which is for "
                          "one thread a rank",
                          (long long)config->train.threads);
    if (has_mixtures(moe) && config_moe_experts(moe) >= WEIGHT_MANY)
        return status_set(STATUS_CONFIG,
                          "model.moe.experts gives %lld with dist.reproducible, which is for fewer "
                          "than %d: how more are computed depends on how many a rank has",
                          (long long)config_moe_experts(moe), WEIGHT_MANY);
    return STATUS_OK;
}

enum status ranks_check_config(const struct config *config, const struct comm *comm)
{
    const struct config_moe *moe = &config->model.moe;
    if (config->dist.reproducible) {
        const enum status status = check_reproducible(config, comm_is_alone(comm) ? 1 : comm->size);
        if (status < 0)
            return status;
    }
    if (comm_is_alone(comm) || !has_mixtures(moe))
        return STATUS_OK;
    if (config_moe_experts(moe) < comm->size) {
        (void)status_set(STATUS_CONFIG,
                         "model.moe.experts gives %lld experts, and there are %d ranks: each must "
                         "have one",
                         (long long)config_moe_experts(moe), comm->size);
        status_hint("start fewer ranks (mpirun -n), or use more experts");
        return STATUS_CONFIG;
    }
    if (moe->expert.type == CONFIG_EXPERT_LSTM)
        return status_set(STATUS_CONFIG, "model.moe.expert.type lstm cannot be trained on several "
                                         "ranks: a sentence's tokens meet its state on one");
    return STATUS_OK;
}

enum status ranks_check_same_config(const struct config *config, struct comm *comm)
{
    struct buffer text = {0};
    if (comm_is_alone(comm))
        return STATUS_OK;
    enum status status = ranks_agree(comm, config_write(config, CONFIG_PART_PORTABLE, &text));
    if (status >= 0)
        status = comm_check_same(comm, XXH3_64bits(text.data, text.size), "the configuration");
    buffer_free(&text);
    return status;
}

enum status ranks_open_backend(struct backend *backend, const struct config *config,
                               const struct comm *comm)
{
    char own[CONFIG_TEXT_BYTES + 16];
    if (comm_is_alone(comm))
        snprintf(own, sizeof own, "%s", config->train.device);
    else
        backend_device_of(config->train.device, comm->node_rank, own, sizeof own);
    return backend_open_for(backend, own, (enum compute)config->train.compute,
                            ranks_threads(config, comm));
}

enum status ranks_check_same_device(struct comm *comm, const struct backend *backend)
{
    if (comm_is_alone(comm))
        return STATUS_OK;
    const char *kind = backend->ops->name;
    return comm_check_same(comm, XXH3_64bits(kind, strlen(kind)),
                           "the backend (train.device and train.compute)");
}

int ranks_threads(const struct config *config, const struct comm *comm)
{
    const int wanted = config->dist.reproducible ? 1 : (int)config->train.threads;
    if (wanted > 0 || comm_is_alone(comm))
        return wanted;
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const int share = cores > comm->node_size ? (int)cores / comm->node_size : 1;
    const int usable = parallel_usable_cores();
    return usable < share ? usable : share;
}

/* -- decisions -- */

enum status ranks_agree(struct comm *comm, enum status mine)
{
    return comm_is_alone(comm) ? mine : comm_agree(comm, mine);
}

enum status ranks_sum(struct comm *comm, double *values, int64_t n)
{
    return comm_is_alone(comm) ? STATUS_OK : comm_sum(comm, values, n);
}

enum status ranks_follow_first(struct comm *comm, bool *answer)
{
    return comm_is_alone(comm) ? STATUS_OK : comm_broadcast(comm, answer, sizeof *answer, 0);
}

enum status ranks_share_subword(struct comm *comm, struct subword **subword)
{
    enum { BLOCK_BYTES = 1 << 20 };
    if (comm_is_alone(comm))
        return STATUS_OK;
    uint64_t size = *subword ? subword_serialized(*subword).size : 0;
    enum status status = comm_broadcast(comm, &size, sizeof size, 0);
    char *bytes = status >= 0 ? malloc(size + 1) : NULL;
    if (status >= 0 && !bytes)
        status = status_set(STATUS_MEMORY, "no memory for a subword model of %llu bytes",
                            (unsigned long long)size);
    status = ranks_agree(comm, status);
    if (status >= 0 && *subword)
        memcpy(bytes, subword_serialized(*subword).bytes, size);
    for (uint64_t at = 0; at < size && status >= 0; at += BLOCK_BYTES)
        status =
            comm_broadcast(comm, bytes + at, size - at < BLOCK_BYTES ? size - at : BLOCK_BYTES, 0);
    if (status >= 0 && !*subword)
        status = subword_open_bytes(subword, bytes, size, "rank 0's subword model");
    free(bytes);
    return status;
}

/* Adds a tensor's bytes, through block [block_bytes]. */
static enum status hash_tensor(XXH3_state_t *state, struct backend *backend,
                               const struct tensor *tensor, void *block, size_t block_bytes)
{
    const int64_t at_once = (int64_t)(block_bytes / dtype_size(tensor->dtype));
    const struct tensor flat = tensor_as_2d(tensor, tensor_count(tensor), 1);
    for (int64_t first = 0; first < flat.dim[0]; first += at_once) {
        const int64_t left = flat.dim[0] - first;
        const struct tensor part = tensor_slice(&flat, first, left < at_once ? left : at_once);
        const size_t bytes = (size_t)part.dim[0] * dtype_size(part.dtype);
        backend->ops->download(backend, block, &part, bytes);
        XXH3_64bits_update(state, block, bytes);
    }
    return backend_sync(backend);
}

enum status ranks_check_weights(struct comm *comm, const struct param_list *params)
{
    enum { BLOCK_BYTES = 1 << 20 };
    if (comm_is_alone(comm))
        return STATUS_OK;
    void *block = malloc(BLOCK_BYTES);
    XXH3_state_t *state = XXH3_createState();
    enum status status = STATUS_OK;
    if (!block || !state)
        status = status_set(STATUS_MEMORY, "no memory to compare the weights");
    else
        XXH3_64bits_reset(state);
    for (int64_t i = 0; i < params->count && status >= 0; i++)
        if (!param_is_divided(params->items[i]))
            status = hash_tensor(state, params->backend, &params->items[i]->weight.value, block,
                                 BLOCK_BYTES);
    status = ranks_agree(comm, status);
    if (status >= 0)
        status = comm_check_same(comm, XXH3_64bits_digest(state), "the weights that all hold");
    XXH3_freeState(state);
    free(block);
    return status;
}

enum status ranks_share_wishes(struct comm *comm, struct ranks_wishes *wishes)
{
    if (comm_is_alone(comm))
        return STATUS_OK;
    const struct ranks_wishes mine = *wishes;
    struct ranks_wishes *all = calloc((size_t)comm->size, sizeof *all);
    if (!all)
        return status_set(STATUS_MEMORY, "no memory for what %d ranks say", comm->size);
    const enum status status = comm_all_gather(comm, all, &mine, sizeof mine);
    for (int r = 0; r < comm->size && status >= 0; r++) {
        wishes->stop = all[r].stop > wishes->stop ? all[r].stop : wishes->stop;
        wishes->is_save |= all[r].is_save;
    }
    free(all);
    return status;
}

/* -- batches -- */

int ranks_rounds(const struct config *config, const struct comm *comm)
{
    const int size = comm_is_alone(comm) ? 1 : comm->size;
    return config->dist.reproducible ? ((int)config->dist.parts + size - 1) / size : 1;
}

struct ranks_share ranks_share_of(const struct config *config, const struct comm *comm, int round)
{
    const int rank = comm_is_alone(comm) ? 0 : comm->rank;
    const int size = comm_is_alone(comm) ? 1 : comm->size;
    const int n_parts = config->dist.reproducible ? (int)config->dist.parts : size;
    return (struct ranks_share){round * size + rank, n_parts};
}

enum status ranks_add_in_order(struct comm *comm, double *total, const double *mine, int64_t n)
{
    const int size = comm_is_alone(comm) ? 1 : comm->size;
    const size_t bytes = (size_t)n * sizeof *mine;
    double *all = malloc(bytes * (size_t)size);
    if (!all)
        return status_set(STATUS_MEMORY, "no memory for what %d ranks say", size);
    memcpy(all, mine, bytes);
    const enum status status = size == 1 ? STATUS_OK : comm_all_gather(comm, all, mine, bytes);
    for (int64_t i = 0; i < size * n && status >= 0; i++)
        total[i % n] += all[i];
    free(all);
    return status;
}

enum status ranks_take_batch(const struct pass *pass, const struct epoch_plan *plan,
                             const struct corpus *corpus, int64_t index, int64_t first_sentence,
                             struct ranks_share share, bool has_failed, struct batch *batch,
                             struct model_batch *uploaded)
{
    const bool has_share = !has_failed && share.part < share.n_parts;
    enum status status = STATUS_OK;
    if (has_share) {
        status =
            epoch_plan_share(plan, corpus, index, first_sentence, share.part, share.n_parts, batch);
        if (status >= 0)
            status = model_batch_upload(uploaded, pass, batch);
    }
    if (has_share && status >= 0)
        return STATUS_OK;
    batch_start(batch);
    uploaded->source = uploaded->target = (struct sequence){0};
    uploaded->labels = (struct tensor){0};
    return status;
}
