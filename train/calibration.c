/* Scores of a sample of text, kept on the host, and the thresholds that divide them. */
#include "train/calibration.h"

#include <math.h>
#include <stdlib.h>

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
    float *learned;        /* [G*E] owned; then [E] of one group at a time */
    struct buffer *scores; /* [G] owned: [tokens, E] f32 of each group */
};

static enum status init_gate(struct calibration_gate *gate, const struct moe *moe, int64_t layer,
                             int64_t level)
{
    const struct gate *of = &moe->gate[level];
    *gate = (struct calibration_gate){.gate = of,
                                      .layer = layer,
                                      .level = level,
                                      .rows = level > 0 ? (double)moe->config.gate[0].top_k : 1};
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
        const enum status status =
            init_gate(&calibration->gates[calibration->n_gates++], moe, i / MOE_MAX_LEVELS, level);
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

/* Appends a gate's scores p [N, E] of one batch, each group's to its own. */
static enum status keep_scores(const struct calibration_gate *gate, struct backend *backend,
                               struct arena *host, const struct gate_record *record)
{
    const size_t row = (size_t)gate->gate->config.n_experts * sizeof(float);
    const int64_t n_groups = gate->gate->n_groups;
    const size_t size = (size_t)record->p.dim[0] * row, mark = arena_mark(host);
    int32_t *starts = arena_take(host, (size_t)(n_groups + 1) * sizeof *starts);
    char *scores = arena_take(host, size + 1);
    starts[0] = 0;
    starts[1] = (int32_t)record->p.dim[0];
    if (n_groups > 1)
        backend->ops->download(backend, starts, &record->gating.groups,
                               (size_t)(n_groups + 1) * sizeof *starts);
    backend->ops->download(backend, scores, &record->p, size);
    enum status status = backend_sync(backend);
    for (int64_t g = 0; g < n_groups && status >= 0; g++)
        status = buffer_append(&gate->scores[g], scores + (size_t)starts[g] * row,
                               (size_t)(starts[g + 1] - starts[g]) * row);
    arena_release(host, mark);
    return status;
}

static enum status read_batch(const struct calibration *calibration, struct model *model,
                              const struct pass *pass, struct model_record *record,
                              struct model_batch *uploaded, const struct batch *batch)
{
    const struct pass_mark mark = pass_mark(pass);
    enum status status = model_batch_upload(uploaded, pass, batch);
    if (status >= 0) {
        (void)model_read(model, pass, record, uploaded, 0);
        status = backend_sync(pass->backend);
    }
    for (int64_t i = 0; i < calibration->n_gates && status >= 0; i++) {
        const struct calibration_gate *gate = &calibration->gates[i];
        const struct moe_record *moe = model_moe_record(model, record, gate->layer);
        status = keep_scores(gate, pass->backend, pass->host, &moe->level[gate->level].gate);
    }
    pass_release(pass, mark);
    return status;
}

/* Reads batches until there are so many target tokens. */
static enum status read_text(const struct calibration *calibration, struct model *model,
                             struct arena *arena, struct arena *host, struct batch *batch,
                             const struct calibration_text *text, double tokens)
{
    const struct pass pass = {.backend = model->params.backend, .arena = arena, .host = host};
    struct model_batch uploaded = {0};
    struct model_record *record = malloc(sizeof *record);
    enum status status = record ? STATUS_OK : status_set(STATUS_MEMORY, "no memory for thresholds");
    double so_far = 0;
    for (int64_t i = 0; i < text->n_batches && so_far < tokens && status >= 0; i++) {
        status = text->fill(text->context, (text->first + i) % text->n_batches, batch);
        if (status >= 0)
            status = read_batch(calibration, model, &pass, record, &uploaded, batch);
        so_far += (double)batch->n_target_tokens;
    }
    model_batch_free(&uploaded);
    free(record);
    return status;
}

/* -- thresholds -- */

static size_t threshold_bytes(const struct gate *gate)
{
    return (size_t)(gate->n_groups * gate->config.n_experts) * sizeof(float);
}

/* Thresholds [E] of a group from its scores [n, E]; column is room for n. */
static void divide(const struct gate *gate, float *thresholds, const float *scores, int64_t n,
                   float *column)
{
    const int64_t n_experts = gate->config.n_experts;
    for (int64_t e = 0; e < n_experts; e++) {
        for (int64_t i = 0; i < n; i++)
            column[i] = scores[i * n_experts + e];
        thresholds[e] = threshold_between(column, n, gate->config.top_k, n_experts);
    }
}

static void set_thresholds(const struct calibration_gate *gate, struct backend *backend,
                           struct arena *host)
{
    const int64_t n_experts = gate->gate->config.n_experts;
    const struct tensor *value = &gate->gate->threshold->weight.value;
    const size_t mark = arena_mark(host);
    float *thresholds = arena_take(host, threshold_bytes(gate->gate));
    backend->ops->download(backend, thresholds, value, threshold_bytes(gate->gate));
    for (int64_t g = 0; g < gate->gate->n_groups; g++) {
        const struct buffer *scores = &gate->scores[g];
        const int64_t n = (int64_t)(scores->size / sizeof(float)) / n_experts;
        const size_t inner = arena_mark(host);
        if (n >= n_experts)
            divide(gate->gate, thresholds + g * n_experts,
                   (const float *)(const void *)scores->data, n,
                   arena_take(host, (size_t)n * sizeof(float)));
        arena_release(host, inner);
    }
    backend->ops->upload(backend, value, thresholds, threshold_bytes(gate->gate));
    arena_release(host, mark);
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
            set_thresholds(&calibration->gates[i], backend, host);
        forget_scores(calibration);
    }
    return status < 0 ? status : backend_sync(backend);
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
