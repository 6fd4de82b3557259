/* mixt bench layer: each kind of layer, forward and backward. */
#include <stdio.h>

#include "tools/bench/subject.h"
#include "tools/bench/verbs.h"

static const char description[] =
    "Times an LSTM layer, the attention, a mixture of experts and the softmax with its loss at the "
    "shape, forward and backward. Rates count the products of matrices.";

/* A layer of the subject's model with what goes through it. */
struct trial {
    struct subject *subject;
    struct pass pass;
    struct tensor x, y, d; /* [T, B, D]: in, out, gradient */
    struct tensor flat, d_flat, loss, nll;
    struct lstm_record lstm;
    struct attention_source source;
    struct attention_record attention;
    struct moe_record moe;
    struct pass_mark mark; /* of the arenas, for a forward pass and its backward pass */
};

static void run_lstm(void *context)
{
    struct trial *trial = context;
    pass_release(&trial->pass, trial->mark);
    lstm_layer_forward(&trial->subject->model.encoder.layers[0].forward, &trial->pass, &trial->lstm,
                       &trial->x, &trial->subject->uploaded.source.lengths);
}

static void run_lstm_backward(void *context)
{
    struct trial *trial = context;
    lstm_layer_backward(&trial->subject->model.encoder.layers[0].forward, &trial->pass, &trial->y,
                        &trial->d, &trial->lstm);
}

static void run_attention(void *context)
{
    struct trial *trial = context;
    const struct attention *attention = &trial->subject->model.decoder.attention;
    pass_release(&trial->pass, trial->mark);
    attention_start(attention, &trial->pass, &trial->source, &trial->x,
                    &trial->subject->uploaded.source.lengths);
    attention_forward(attention, &trial->pass, &trial->attention, &trial->source, &trial->x,
                      &trial->y);
}

static void run_attention_backward(void *context)
{
    struct trial *trial = context;
    trial->pass.backend->ops->fill(trial->pass.backend, &trial->y, 0);
    attention_backward(&trial->subject->model.decoder.attention, &trial->pass, &trial->y, &trial->y,
                       &trial->attention, &trial->source, &trial->d);
}

static const struct moe *mixture_of(const struct trial *trial)
{
    struct moe *moe = NULL;
    (void)model_moe_layers(&trial->subject->model, &moe, 1);
    return moe;
}

static void run_moe(void *context)
{
    struct trial *trial = context;
    pass_release(&trial->pass, trial->mark);
    moe_forward(mixture_of(trial), &trial->pass, &trial->moe, &trial->y, &trial->x,
                &trial->subject->uploaded.source, 1);
}

static void run_moe_backward(void *context)
{
    struct trial *trial = context;
    moe_backward(mixture_of(trial), &trial->pass, &trial->moe, &trial->d,
                 &trial->subject->uploaded.source);
}

static void run_output(void *context)
{
    struct trial *trial = context;
    output_loss(&trial->subject->model.output, &trial->pass, &trial->loss, &trial->nll,
                &trial->flat, &trial->subject->uploaded.labels, 0.1, 1, NULL);
}

static void run_output_backward(void *context)
{
    struct trial *trial = context;
    output_loss(&trial->subject->model.output, &trial->pass, &trial->loss, &trial->nll,
                &trial->flat, &trial->subject->uploaded.labels, 0.1, 1e-3, &trial->d_flat);
}

/* Two rows: what runs forward, and what runs backward after an untimed forward. */
static void measure(struct trial *trial, const char *name, double flops,
                    void (*forward)(void *context), void (*backward)(void *context), bool is_apart)
{
    struct session *session = trial->subject->session;
    char title[ROW_NAME_BYTES];
    snprintf(title, sizeof title, "%s forward", name);
    if (session_wants(session, title))
        session_row(session, title, ROW_FLOPS, flops,
                    (struct work){.run = forward, .context = trial});
    snprintf(title, sizeof title, "%s %s", name, is_apart ? "backward" : "forward and backward");
    if (session_wants(session, title))
        session_row(
            session, title, ROW_FLOPS, is_apart ? 2 * flops : 3 * flops,
            (struct work){.prepare = is_apart ? forward : NULL, .run = backward, .context = trial});
    pass_release(&trial->pass, trial->mark);
}

/* Multiply-adds of a token in one mixture: gates and experts. */
static double mixture_work(const struct config *config)
{
    const struct config_moe *moe = &config->model.moe;
    const double dim = (double)config->model.dim, hidden = (double)moe->expert.hidden;
    double gates = 0, choices = 1;
    for (int64_t l = 0; l < moe->experts.n; l++) {
        const bool is_noisy = moe->gate.value[l] == CONFIG_GATE_NOISY_TOP_K && moe->noise > 0;
        gates += choices * dim * (double)moe->experts.value[l] * (is_noisy ? 2 : 1);
        choices *= (double)moe->top_k.value[l];
    }
    return gates + choices * 2 * dim * hidden;
}

static void measure_all(struct trial *trial)
{
    const struct session *session = trial->subject->session;
    const struct config_model *model = &session->config->model;
    const double dim = (double)model->dim, hidden = (double)model->encoder.hidden;
    const double rows = (double)(session->sentences * session->length);
    const double width = (double)config_attention_dim(model), length = (double)session->length;
    const double projection = model->encoder.projection ? hidden * dim : 0;
    const struct moe *moe = mixture_of(trial);
    measure(trial, "lstm", 2 * rows * (8 * dim * hidden + projection), run_lstm, run_lstm_backward,
            true);
    measure(trial, "attention", 2 * rows * (2 * dim * width + length * (dim + width)),
            run_attention, run_attention_backward, true);
    if (moe && !moe_is_recurrent(moe))
        measure(trial, "mixture", 2 * rows * mixture_work(session->config), run_moe,
                run_moe_backward, true);
    measure(trial, "softmax", 2 * rows * dim * (double)trial->subject->model.vocabulary, run_output,
            run_output_backward, false);
}

static enum status run(struct session *session, struct subject *subject)
{
    enum status status = subject_open(subject, session, true);
    if (status >= 0)
        status = subject_draw(subject, session->sentences, 0);
    struct trial trial = {.subject = subject, .pass = subject_pass(subject, true)};
    if (status >= 0)
        status = model_batch_upload(&subject->uploaded, &trial.pass, &subject->batch);
    if (status < 0)
        return status;
    const int64_t length = session->length, sentences = session->sentences;
    const int64_t rows = length * sentences, dim = session->config->model.dim;
    trial.flat = session_random(session, rows, dim);
    trial.d_flat = session_random(session, rows, dim);
    trial.x = tensor_as_3d(&trial.flat, length, sentences, dim);
    trial.d = tensor_as_3d(&trial.d_flat, length, sentences, dim);
    trial.y = tensor_like(&session->arena, &trial.x);
    trial.loss = tensor_1d(&session->arena, session->backend.real, rows);
    trial.nll = tensor_like(&session->arena, &trial.loss);
    trial.mark = pass_mark(&trial.pass);
    measure_all(&trial);
    return backend_sync(&session->backend);
}

int bench_layer_main(int argc, char **argv)
{
    struct bench_options options = {0};
    struct session session;
    struct subject subject = {0};
    const int code = session_start(&session, &options, "layer", description, argc, argv);
    if (code >= 0)
        return code;
    const enum status status = run(&session, &subject);
    subject_free(&subject);
    return session_finish(&session, status);
}
