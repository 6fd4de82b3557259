/* Random models and sentences. */
#include "tools/bench/subject.h"

#include <math.h>
#include <stdlib.h>

#include "layer/phase.h"
#include "model/plan.h"
#include "train/optimizer.h"

enum { STREAM_GATES = 400, STREAM_SENTENCES, MAX_MIXTURES = 2 * CONFIG_MAX_LAYERS };

/* Normal numbers in the gates' weights: scores of tokens of size 1 are of that size, too. */
static void wake_gates(struct subject *subject)
{
    struct moe *layers[MAX_MIXTURES];
    struct backend *backend = &subject->session->backend;
    struct arena *arena = &subject->session->host;
    const int64_t n = model_moe_layers(&subject->model, layers, MAX_MIXTURES);
    for (int64_t l = 0; l < n; l++)
        for (int64_t level = 0; level < layers[l]->config.n_levels; level++) {
            const struct tensor *weight = &layers[l]->gate[level].weight->weight.value;
            const int64_t count = tensor_count(weight);
            const struct random_key key = {.stream = STREAM_GATES, .step = (uint32_t)l};
            const double size = 1 / sqrt((double)subject->model.config.model.dim);
            const size_t mark = arena_mark(arena);
            float *numbers = arena_take(arena, (size_t)count * sizeof *numbers);
            for (int64_t i = 0; i < count; i++) {
                const struct random_words words = random_philox(key, (uint32_t)level, (uint32_t)i);
                double pair[2];
                random_normal_pair(words.word[0], words.word[1], pair);
                numbers[i] = (float)(size * pair[0]);
            }
            backend->ops->upload(backend, weight, numbers, (size_t)count * sizeof *numbers);
            arena_release(arena, mark);
        }
}

enum status subject_open(struct subject *subject, struct session *session, bool is_training)
{
    *subject = (struct subject){.session = session};
    enum status status = model_init(&subject->model, &session->backend, session->config,
                                    session->config->data.subword.size, is_training);
    if (status < 0)
        return status;
    param_list_start(&subject->model.params, 1);
    if (is_training)
        param_list_zero_gradients(&subject->model.params);
    if (!is_training)
        wake_gates(subject);
    param_list_pack(&subject->model.params);
    return backend_sync(&session->backend);
}

void subject_free(struct subject *subject)
{
    model_batch_free(&subject->uploaded);
    batch_free(&subject->batch);
    model_free(&subject->model);
    if (subject->session)
        subject->session->backend.profile = NULL;
}

/* n ids of text, of piece number `number`; ends with the end of a sentence. */
static void draw_ids(const struct subject *subject, int64_t number, uint32_t side, int32_t *ids)
{
    const int64_t length = subject->session->length;
    const uint64_t n_words = (uint64_t)subject->model.vocabulary - SUBWORD_EOS - 1;
    const struct random_key key = {.seed = (uint64_t)number, .stream = STREAM_SENTENCES};
    for (int64_t i = 0; i < length; i++) {
        const struct random_words words = random_philox(key, side, (uint32_t)i);
        ids[i] = SUBWORD_EOS + 1 + (int32_t)random_below(words.word[0], words.word[1], n_words);
    }
    ids[length - 1] = SUBWORD_EOS;
}

enum status subject_draw(struct subject *subject, int64_t n_sentences, int64_t number)
{
    const int64_t length = subject->session->length;
    struct arena *arena = &subject->session->host;
    const size_t mark = arena_mark(arena);
    int32_t *ids = arena_take(arena, (size_t)(2 * n_sentences * length) * sizeof *ids);
    enum status status = STATUS_OK;
    batch_start(&subject->batch);
    for (int64_t b = 0; b < n_sentences && status >= 0; b++) {
        int32_t *source = ids + 2 * b * length, *target = source + length;
        draw_ids(subject, number * n_sentences + b, 0, source);
        draw_ids(subject, number * n_sentences + b, 1, target);
        status = batch_add(&subject->batch, source, length, target, length);
    }
    if (status >= 0)
        status = batch_finish(&subject->batch, SUBWORD_BOS, 0);
    arena_release(arena, mark);
    return status;
}

struct pass subject_pass(struct subject *subject, bool is_training)
{
    return (struct pass){.backend = &subject->session->backend,
                         .arena = &subject->session->arena,
                         .host = &subject->session->host,
                         .is_training = is_training,
                         .dropout = subject->session->config->model.dropout,
                         .seed = 1,
                         .step = (uint32_t)(subject->step + 1)};
}

static enum status update(struct subject *subject)
{
    struct session *session = subject->session;
    const struct config_train *train = &session->config->train;
    const struct pass pass = subject_pass(subject, true);
    const struct pass_mark mark = pass_mark(&pass);
    double norm;
    phase_enter(pass.backend, PHASE_BATCH);
    enum status status = subject_draw(subject, session->sentences, subject->step);
    if (status >= 0)
        status = model_batch_upload(&subject->uploaded, &pass, &subject->batch);
    phase_leave(pass.backend);
    if (status < 0)
        return status;
    model_loss(&subject->model, &pass, &subject->record, &subject->uploaded, train->label_smoothing,
               1 / (double)subject->batch.n_target_tokens, 1);
    phase_enter(pass.backend, PHASE_OPTIMIZER);
    status = optimizer_step(&subject->model.params, pass.arena, train, subject->step + 1, &norm);
    phase_leave(pass.backend);
    pass_release(&pass, mark);
    subject->step++;
    return status;
}

void subject_update(void *context)
{
    struct subject *subject = context;
    if (subject->status >= 0)
        subject->status = update(subject);
}

/* Multiply-adds of a token of a side, the softmax among the target's. */
static double token_work(const struct plan *plan, enum plan_side side)
{
    return plan_work(plan, PLAN_LAYER, side) + plan_work(plan, PLAN_GATE, side) +
           plan_work(plan, PLAN_EXPERTS, side) + plan_work(plan, PLAN_SOFTMAX, side);
}

/* Of a sentence with so many hypotheses, forward. */
static double sentence_flops(const struct session *session, double hypotheses)
{
    struct plan *plan = malloc(sizeof *plan);
    const double length = (double)session->length;
    if (!plan)
        return 0;
    plan_make(plan, session->config);
    const double work = length * token_work(plan, PLAN_SOURCE) +
                        hypotheses * length * token_work(plan, PLAN_TARGET) +
                        hypotheses * length * length * plan->pair_work;
    free(plan);
    return 2 * work;
}

double subject_flops(const struct session *session)
{
    return 3 * (double)session->sentences * sentence_flops(session, 1);
}

double subject_decoding_flops(const struct session *session, int64_t beam)
{
    return sentence_flops(session, (double)beam);
}
