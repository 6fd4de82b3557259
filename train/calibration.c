/* Scores of a sample of text, kept on the host, and the thresholds that divide them. */
#include "train/calibration.h"

#include <math.h>
#include <stdlib.h>

#include "moe/columns.h"
#include "moe/threshold.h"

enum {
    MAX_LAYERS = 32,
    MIN_TOKENS = 1 << 14,
    MAX_TOKENS = 1 << 18,
    MAX_SCORES = 1 << 26, /* of all gates together: 256 MiB */
    FIRST_SHARE = 8,      /* the first round reads one token of so many */
};

struct calibration_gate {
    const struct gate *gate;
    int64_t layer, level;  /* where in the model, as model_moe_layers() counts */
    double rows;           /* its tokens for each of the model's, about */
    float *learned;        /* [G*E] owned */
    struct buffer *scores; /* [G] owned: [tokens, C] f32 of each group */
    int64_t first, n_here; /* which C of the E experts are this rank's to divide */
};

static enum status init_gate(struct calibration_gate *gate, const struct comm *comm,
                             const struct moe *moe, int64_t layer, int64_t level)
{
    const struct gate *of = &moe->gate[level];
    const int rank = comm_is_alone(comm) ? 0 : comm->rank;
    const int size = comm_is_alone(comm) ? 1 : comm->size;
    *gate =
        (struct calibration_gate){.gate = of,
                                  .layer = layer,
                                  .level = level,
                                  .rows = level > 0 ? (double)moe->config.gate[0].top_k : 1,
                                  .first = comm_share(of->config.n_experts, rank, size),
                                  .n_here = comm_share_length(of->config.n_experts, rank, size)};
    CHECK(of->threshold->weight.value.dtype == DTYPE_F32, "only floats are calibrated");
    gate->learned = malloc((size_t)(of->n_groups * of->config.n_experts) * sizeof(float));
    gate->scores = calloc((size_t)of->n_groups, sizeof *gate->scores);
    return gate->learned && gate->scores ? STATUS_OK
                                         : status_set(STATUS_MEMORY, "no memory for thresholds");
}

enum status calibration_init(struct calibration *calibration, struct model *model)
{
    struct moe *layers[MAX_LAYERS];
    const int64_t n_layers = model_moe_layers(model, layers, MAX_LAYERS);
    *calibration = (struct calibration){0};
    calibration->gates = calloc((size_t)n_layers * MOE_MAX_LEVELS + 1, sizeof *calibration->gates);
    if (!calibration->gates)
        return status_set(STATUS_MEMORY, "no memory for thresholds");
    for (int64_t i = 0; i < n_layers * MOE_MAX_LEVELS; i++) {
        const struct moe *moe = layers[i / MOE_MAX_LEVELS];
        const int64_t level = i % MOE_MAX_LEVELS;
        if (level >= moe->config.n_levels || moe->config.gate[level].kind != GATE_BALANCED)
            continue;
        const enum status status = init_gate(&calibration->gates[calibration->n_gates++],
                                             model->params.comm, moe, i / MOE_MAX_LEVELS, level);
        if (status < 0)
            return status;
    }
    return STATUS_OK;
}

/* Gives the scores' memory back: it is wanted only now and then. */
static void forget_scores(const struct calibration *calibration)
{
    for (int64_t i = 0; i < calibration->n_gates; i++) {
        const struct calibration_gate *gate = &calibration->gates[i];
        for (int64_t g = 0; g < gate->gate->n_groups && gate->scores; g++)
            buffer_free(&gate->scores[g]);
    }
}

void calibration_free(struct calibration *calibration)
{
    forget_scores(calibration);
    for (int64_t i = 0; i < calibration->n_gates; i++) {
        free(calibration->gates[i].learned);
        free(calibration->gates[i].scores);
    }
    free(calibration->gates);
    *calibration = (struct calibration){0};
}

/* -- reading -- */

/* Appends scores p [N, C], each group's to its own; groups [G+1] where there are several. */
static enum status append_scores(const struct calibration_gate *gate, const struct pass *pass,
                                 const struct tensor *p, const struct tensor *groups)
{
    struct backend *backend = pass->backend;
    struct arena *host = pass->host;
    const size_t row = (size_t)gate->n_here * sizeof(float);
    const int64_t n_groups = gate->gate->n_groups;
    const size_t size = (size_t)p->dim[0] * row, mark = arena_mark(host);
    int32_t *starts = arena_take(host, (size_t)(n_groups + 1) * sizeof *starts);
    char *scores = arena_take(host, size + 1);
    starts[0] = 0;
    starts[1] = (int32_t)p->dim[0];
    if (n_groups > 1)
        backend->ops->download(backend, starts, groups, (size_t)(n_groups + 1) * sizeof *starts);
    if (size > 0)
        backend->ops->download(backend, scores, p, size);
    enum status status = backend_sync(backend);
    for (int64_t g = 0; g < n_groups && status >= 0; g++)
        status = buffer_append(&gate->scores[g], scores + (size_t)starts[g] * row,
                               (size_t)(starts[g + 1] - starts[g]) * row);
    arena_release(host, mark);
    return status;
}

/* Keeps a gate's scores of one batch, of all ranks' tokens those of the experts here. */
static enum status keep_scores(const struct calibration_gate *gate, const struct pass *pass,
                               const struct gate_record *record)
{
    const struct tensor *groups = tensor_or_null(&record->gating.groups);
    struct columns columns;
    if (comm_is_alone(pass->comm))
        return append_scores(gate, pass, &record->p, groups);
    columns_open(&columns, pass, record->p.dim[0], gate->gate->config.n_experts, NULL, groups);
    const struct tensor here = columns_out(&columns, pass, &record->p);
    return append_scores(gate, pass, &here, &columns.groups);
}

/* What text is read with. */
struct reading {
    const struct calibration *calibration;
    const struct calibration_text *text;
    struct model *model;
    struct pass pass;
    struct model_record *record; /* owned, as the next one */
    struct model_batch uploaded;
    struct batch *batch;
};

/* Reads a share of a batch; without one, takes part for the other ranks. */
static enum status read_share(struct reading *reading)
{
    const struct pass *pass = &reading->pass;
    const struct calibration *calibration = reading->calibration;
    const struct pass_mark mark = pass_mark(pass);
    enum status status = STATUS_OK;
    if (reading->batch->n_sentences > 0)
        status = model_batch_upload(&reading->uploaded, pass, reading->batch);
    const bool has_share = reading->batch->n_sentences > 0 && status >= 0;
    if (has_share)
        (void)model_read(reading->model, pass, reading->record, &reading->uploaded, 0);
    else
        model_read_none(reading->model, pass, reading->record, 0);
    const int64_t n_gates = has_share || !comm_is_alone(pass->comm) ? calibration->n_gates : 0;
    for (int64_t i = 0; i < n_gates; i++) {
        const struct calibration_gate *gate = &calibration->gates[i];
        const struct moe_record *moe =
            model_moe_record(reading->model, reading->record, gate->layer);
        const enum status kept = keep_scores(gate, pass, &moe->level[gate->level].gate);
        status = status < 0 ? status : kept;
    }
    pass_release(pass, mark);
    return status;
}

/* Reads a batch in as many rounds as its shares take. *tokens += its target tokens, of all ranks.
 * Fails on all ranks or none. */
static enum status read_batch(struct reading *reading, int64_t index, double *tokens)
{
    const struct config *config = &reading->model->config;
    struct comm *comm = reading->pass.comm;
    enum status status = STATUS_OK;
    double sum = 0;
    for (int round = 0; round < ranks_rounds(config, comm); round++) {
        const struct ranks_share share = ranks_share_of(config, comm, round);
        enum status one = STATUS_OK;
        batch_start(reading->batch);
        if (share.part < share.n_parts && status >= 0)
            one = reading->text->fill(reading->text->context, index, share, reading->batch);
        if (one < 0)
            batch_start(reading->batch);
        sum += (double)reading->batch->n_target_tokens;
        const enum status read = read_share(reading);
        status = status < 0 ? status : one < 0 ? one : read;
    }
    status = ranks_agree(comm, status);
    if (status >= 0)
        status = ranks_sum(comm, &sum, 1);
    *tokens += sum;
    return status;
}

/* Reads batches until there are so many target tokens. */
static enum status read_text(const struct calibration *calibration, struct model *model,
                             struct arena *arena, struct arena *host, struct batch *batch,
                             const struct calibration_text *text, double tokens)
{
    struct reading reading = {.calibration = calibration,
                              .text = text,
                              .model = model,
                              .pass = {.backend = model->params.backend,
                                       .arena = arena,
                                       .host = host,
                                       .comm = model->params.comm,
                                       .by_parts = model->config.dist.reproducible},
                              .record = malloc(sizeof *reading.record),
                              .batch = batch};
    double so_far = 0;
    enum status status = ranks_agree(
        model->params.comm,
        reading.record ? STATUS_OK : status_set(STATUS_MEMORY, "no memory for thresholds"));
    for (int64_t i = 0; i < text->n_batches && so_far < tokens && status >= 0; i++)
        status = read_batch(&reading, (text->first + i) % text->n_batches, &so_far);
    model_batch_free(&reading.uploaded);
    free(reading.record);
    return status;
}

/* -- thresholds -- */

static size_t threshold_bytes(const struct gate *gate)
{
    return (size_t)(gate->n_groups * gate->config.n_experts) * sizeof(float);
}

/* Thresholds [C] of a group from its scores [n, C]; column is room for n. */
static void divide(const struct calibration_gate *gate, float *thresholds, const float *scores,
                   int64_t n, float *column)
{
    const struct gate_config *config = &gate->gate->config;
    for (int64_t e = 0; e < gate->n_here; e++) {
        for (int64_t i = 0; i < n; i++)
            column[i] = scores[i * gate->n_here + e];
        thresholds[e] = threshold_between(column, n, config->top_k, config->n_experts);
    }
}

/* thresholds [G*E] inout: each rank's own become everyone's. */
static enum status share_thresholds(const struct calibration_gate *gate, struct comm *comm,
                                    struct arena *host, float *thresholds)
{
    const int64_t n_experts = gate->gate->config.n_experts;
    const int64_t count = gate->gate->n_groups * n_experts;
    const size_t mark = arena_mark(host);
    double *sums = arena_take_zeroed(host, (size_t)count * sizeof *sums);
    for (int64_t i = 0; i < count; i++)
        if (i % n_experts >= gate->first && i % n_experts < gate->first + gate->n_here)
            sums[i] = thresholds[i];
    const enum status status = ranks_sum(comm, sums, count);
    for (int64_t i = 0; i < count; i++)
        thresholds[i] = (float)sums[i];
    arena_release(host, mark);
    return status;
}

static enum status set_thresholds(const struct calibration_gate *gate, struct model *model,
                                  struct arena *host)
{
    struct backend *backend = model->params.backend;
    const int64_t n_experts = gate->gate->config.n_experts;
    const struct tensor *value = &gate->gate->threshold->weight.value;
    const size_t mark = arena_mark(host);
    float *thresholds = arena_take(host, threshold_bytes(gate->gate));
    backend->ops->download(backend, thresholds, value, threshold_bytes(gate->gate));
    for (int64_t g = 0; g < gate->gate->n_groups && gate->n_here > 0; g++) {
        const struct buffer *scores = &gate->scores[g];
        const int64_t n = (int64_t)(scores->size / sizeof(float)) / gate->n_here;
        const size_t inner = arena_mark(host);
        if (n >= n_experts)
            divide(gate, thresholds + g * n_experts + gate->first,
                   (const float *)(const void *)scores->data, n,
                   arena_take(host, (size_t)n * sizeof(float)));
        arena_release(host, inner);
    }
    const enum status status = share_thresholds(gate, model->params.comm, host, thresholds);
    if (status >= 0)
        backend->ops->upload(backend, value, thresholds, threshold_bytes(gate->gate));
    arena_release(host, mark);
    return status;
}

/* How many tokens are read: of what is wanted, as many as there is room for. */
static double tokens_of(const struct calibration *calibration, double wanted)
{
    double scores = 0;
    for (int64_t i = 0; i < calibration->n_gates; i++)
        scores += calibration->gates[i].rows * (double)calibration->gates[i].gate->config.n_experts;
    return fmin(fmin(fmax(wanted, MIN_TOKENS), MAX_TOKENS), MAX_SCORES / scores);
}

enum status calibration_run(struct calibration *calibration, struct model *model,
                            struct arena *arena, struct arena *host, struct batch *batch,
                            const struct calibration_text *text)
{
    if (calibration->n_gates == 0)
        return STATUS_OK;
    struct backend *backend = model->params.backend;
    const double tokens = tokens_of(calibration, text->tokens);
    enum status status = STATUS_OK;
    for (int64_t i = 0; i < calibration->n_gates; i++)
        backend->ops->download(backend, calibration->gates[i].learned,
                               &calibration->gates[i].gate->threshold->weight.value,
                               threshold_bytes(calibration->gates[i].gate));
    /* What the first gate chooses is what the next one scores: where there are several, a short
     * round sets them all nearly right, for the long one that counts. */
    for (int round = calibration->n_gates > 1 ? 0 : 1; round < 2 && status >= 0; round++) {
        status = read_text(calibration, model, arena, host, batch, text,
                           round == 0 ? tokens / FIRST_SHARE : tokens);
        for (int64_t i = 0; i < calibration->n_gates && status >= 0; i++)
            status = set_thresholds(&calibration->gates[i], model, host);
        forget_scores(calibration);
    }
    return ranks_agree(model->params.comm, status < 0 ? status : backend_sync(backend));
}

void calibration_undo(const struct calibration *calibration, struct model *model)
{
    struct backend *backend = model->params.backend;
    for (int64_t i = 0; i < calibration->n_gates; i++) {
        const struct gate *gate = calibration->gates[i].gate;
        backend->ops->upload(backend, &gate->threshold->weight.value, calibration->gates[i].learned,
                             threshold_bytes(gate));
    }
}
