/* One trial: a mixture or a single model on synthetic patches. */
#include "tools/lab/trial.h"

#include <math.h>
#include <string.h>

#include "moe/experts.h"
#include "moe/gate.h"
#include "tools/lab/patches.h"

enum { N_EXPERTS = 8, EXPERT_FILTERS = 16, SINGLE_FILTERS = 128, N_LABELS = 2, STREAM_GATE = 200 };

enum { REST_STEPS = 50 };

/* How mixtures learn. */
struct recipe {
    double expert_rate, gate_rate;
    bool falls;   /* both rates, linearly to 0 */
    bool may_end; /* before the last step, when the loss rests */
};

static const struct recipe authors = {.expert_rate = 0.001, .gate_rate = 0.1};
static const struct recipe steady = {
    .expert_rate = 0.0008, .gate_rate = 1.6, .falls = true, .may_end = true};

/* The authors' settings, which both share. */
static const double expert_shrink = 0.001;
static const double single_rate_linear = 0.003, single_rate_cubic = 0.01, single_decay = 5e-4;
static const double loss_floor = 0.314; /* of mixtures */
static const double least_gain = 0.003; /* of the lowest loss in REST_STEPS, or it rests */

/* Points where the backend can read them. */
struct inputs {
    struct tensor x;   /* [N, P d] */
    struct tensor sum; /* [N, d] */
};

struct lab {
    const struct trial *trial;
    struct backend backend;
    struct arena params_arena, arena, host;
    struct param_list params;
    struct gate gate; /* mixtures only */
    struct experts experts;
    struct pass pass;
    struct patches patches[2]; /* training, test */
    struct inputs inputs[2];
    double lowest[REST_STEPS]; /* loss up to step s, at s % REST_STEPS */
    bool is_last;              /* no step follows */
};

/* What a forward pass leaves for backward. */
struct record {
    struct gate_record gate;
    struct experts_record experts;
    struct tensor factor;  /* [N, 1] g */
    struct tensor offsets; /* [E+1] i32 */
    struct tensor place;   /* [N, 1] i32 */
    struct tensor outputs; /* [N, 2] of the experts, sorted */
    struct tensor logits;  /* [N, 2] F */
};

/* -- the model -- */

/* W2: the first half of the filters to logit 0, the second half to logit 1. */
static void fix_down(struct lab *lab)
{
    const struct tensor *down = &lab->experts.down->weight.value;
    const int64_t n_filters = down->dim[1], count = tensor_count(down);
    const size_t mark = arena_mark(&lab->host);
    float *values = arena_take_zeroed(&lab->host, (size_t)count * sizeof *values);
    for (int64_t row = 0; row < count / N_LABELS; row++)
        values[row * N_LABELS + (row % n_filters >= n_filters / 2)] = 1;
    lab->backend.ops->upload(&lab->backend, down, values, (size_t)count * sizeof *values);
    arena_release(&lab->host, mark);
}

static enum status build_model(struct lab *lab)
{
    const bool is_mixture = lab->trial->is_mixture;
    const struct gate_config gate = {
        .kind = GATE_SWITCH, .n_experts = N_EXPERTS, .top_k = 1, .noise = 1};
    const struct expert_config expert = {
        .kind = lab->trial->is_cubic ? EXPERT_CUBIC : EXPERT_LINEAR,
        .hidden = is_mixture ? EXPERT_FILTERS : SINGLE_FILTERS,
        .n_patches = PATCHES_COUNT,
    };
    lab->params = (struct param_list){.backend = &lab->backend,
                                      .arena = &lab->params_arena,
                                      .host = &lab->host,
                                      .is_training = true};
    if (is_mixture)
        gate_init(&lab->gate, &lab->params, "gate", PATCHES_DIM, &gate, 1, STREAM_GATE);
    experts_init(&lab->experts, &lab->params, "expert", is_mixture ? N_EXPERTS : 1, PATCHES_POINT,
                 N_LABELS, &expert);
    lab->experts.up->bound = (is_mixture ? expert_shrink : 1) / sqrt(PATCHES_DIM);
    lab->experts.up_bias->start = PARAM_UNIFORM;
    lab->experts.up_bias->bound = lab->experts.up->bound;
    const enum status status = param_list_check(&lab->params);
    if (status < 0)
        return status;
    param_list_start(&lab->params, lab->trial->seed);
    fix_down(lab);
    param_list_pack(&lab->params);
    return STATUS_OK;
}

static void load_inputs(struct lab *lab, int part, const struct patches_vectors *vectors)
{
    const struct trial *trial = lab->trial;
    const size_t n = (size_t)trial->n_points;
    struct patches *patches = &lab->patches[part];
    struct inputs *inputs = &lab->inputs[part];
    *patches = patches_draw(&lab->host, &patches_settings[trial->setting], vectors, trial->n_points,
                            trial->seed, (uint32_t)part);
    inputs->x = tensor_2d(&lab->arena, DTYPE_F32, trial->n_points, PATCHES_POINT);
    inputs->sum = tensor_2d(&lab->arena, DTYPE_F32, trial->n_points, PATCHES_DIM);
    lab->backend.ops->upload(&lab->backend, &inputs->x, patches->x,
                             n * PATCHES_POINT * sizeof *patches->x);
    lab->backend.ops->upload(&lab->backend, &inputs->sum, patches->sum,
                             n * PATCHES_DIM * sizeof *patches->sum);
}

/* -- forward and backward -- */

static void forward_mixture(const struct lab *lab, struct record *record,
                            const struct inputs *inputs)
{
    const struct pass *pass = &lab->pass;
    struct backend *backend = pass->backend;
    const struct backend_ops *ops = backend->ops;
    const int64_t n = inputs->x.dim[0];
    const struct tensor rows = tensor_1d(pass->arena, DTYPE_I32, n);
    const struct tensor sorted = pass_2d(pass, n, PATCHES_POINT);
    gate_forward(&lab->gate, pass, &record->gate, &inputs->sum, NULL, NULL, 0);
    const struct gating *gating = &record->gate.gating;
    record->place = tensor_like(pass->arena, &gating->experts);
    record->offsets = tensor_1d(pass->arena, DTYPE_I32, N_EXPERTS + 1);
    ops->dispatch(backend, &rows, &record->place, &record->offsets, &gating->experts, NULL, NULL);
    ops->gather_rows(backend, &sorted, &inputs->x, &rows);
    record->factor = gating->weights;
    if (!lab->trial->has_softmax_factor) {
        record->factor = pass_2d(pass, n, 1);
        ops->copy_columns(backend, &record->factor, 0, &gating->top, 0, 1, false);
    }
    experts_forward(&lab->experts, pass, &record->experts, &record->outputs, &sorted,
                    &record->offsets);
    ops->combine(backend, &record->logits, &record->outputs, &record->factor, &record->place, NULL);
}

static void forward(const struct lab *lab, struct record *record, const struct inputs *inputs)
{
    const struct pass *pass = &lab->pass;
    const int64_t n = inputs->x.dim[0];
    *record = (struct record){.outputs = pass_2d(pass, n, N_LABELS)};
    record->logits = pass_2d(pass, n, N_LABELS);
    if (lab->trial->is_mixture) {
        forward_mixture(lab, record, inputs);
        return;
    }
    const int32_t offsets[] = {0, (int32_t)n};
    record->offsets = tensor_1d(pass->arena, DTYPE_I32, 2);
    pass->backend->ops->upload(pass->backend, &record->offsets, offsets, sizeof offsets);
    experts_forward(&lab->experts, pass, &record->experts, &record->logits, &inputs->x,
                    &record->offsets);
}

/* The gate's gradient from that of its factor. */
static void backward_gate(const struct lab *lab, const struct record *record,
                          const struct tensor *d_factor)
{
    const struct pass *pass = &lab->pass;
    const struct gating *gating = &record->gate.gating;
    if (lab->trial->has_softmax_factor) {
        const struct tensor d_sum = tensor_like(pass->arena, &record->gate.x);
        pass->backend->ops->fill(pass->backend, &d_sum, 0);
        gate_backward(&lab->gate, pass, &d_sum, d_factor, NULL, &record->gate);
        return;
    }
    const struct tensor d_clean = tensor_like(pass->arena, &gating->clean);
    pass->backend->ops->choice_weights_backward(pass->backend, &d_clean, d_factor, &record->factor,
                                                &gating->experts, NULL, false);
    pass->backend->ops->linear_gradient(pass->backend, &lab->gate.weight->grad, NULL,
                                        &record->gate.x, &d_clean);
}

static void backward(const struct lab *lab, const struct record *record,
                     const struct tensor *d_logits)
{
    const struct pass *pass = &lab->pass;
    struct tensor d_outputs = *d_logits;
    if (lab->trial->is_mixture) {
        const struct tensor d_factor = tensor_like(pass->arena, &record->factor);
        d_outputs = tensor_like(pass->arena, &record->outputs);
        pass->backend->ops->combine_backward(pass->backend, &d_outputs, &d_factor, &record->outputs,
                                             &record->factor, &record->place, NULL, d_logits);
        backward_gate(lab, record, &d_factor);
    }
    experts_backward(&lab->experts, pass, NULL, &record->experts, &d_outputs);
}

/* -- loss -- */

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* -log(sigmoid(x)) */
static double surprise(double x)
{
    return log1p(exp(-fabs(x))) + fmax(-x, 0);
}

/* Mean loss and accuracy of logits [N, 2], which become their gradients. Between two classes
 * softmax is the sigmoid of a difference: of the logits', and where it is taken twice, of
 * p - (1 - p). */
static double judge(float *logits, const int32_t *labels, int64_t count, bool is_twice,
                    double *accuracy)
{
    double loss = 0;
    int64_t n_right = 0;
    for (int64_t n = 0; n < count; n++) {
        float *pair = logits + n * N_LABELS;
        const double difference = (double)pair[1] - pair[0], p = sigmoid(difference);
        const double last = is_twice ? 2 * p - 1 : difference;
        const double d_last = (sigmoid(last) - labels[n]) / (double)count;
        const double d = is_twice ? d_last * 2 * p * (1 - p) : d_last;
        n_right += (pair[1] > pair[0]) == labels[n];
        loss += surprise(labels[n] ? last : -last);
        pair[0] = (float)-d;
        pair[1] = (float)d;
    }
    *accuracy = (double)n_right / (double)count;
    return loss / (double)count;
}

/* Runs a part of the points; logits [N, 2] end up on the host as judge() leaves them. */
static double run_part(struct lab *lab, int part, struct record *record, float **logits,
                       double *accuracy)
{
    const int64_t count = lab->trial->n_points;
    const size_t size = (size_t)(count * N_LABELS) * sizeof **logits;
    lab->pass.is_training = part == 0;
    forward(lab, record, &lab->inputs[part]);
    *logits = arena_take(&lab->host, size);
    lab->backend.ops->download(&lab->backend, *logits, &record->logits, size);
    return judge(*logits, lab->patches[part].label, count, lab->trial->is_mixture, accuracy);
}

/* -- updates -- */

static const struct recipe *recipe_of(const struct trial *trial)
{
    return trial->is_steady ? &steady : &authors;
}

/* Adds to norms [E, 1] the norm of each expert's part of the gradient. */
static void add_norms(struct lab *lab, float *norms, const struct param *param)
{
    const struct backend_ops *ops = lab->backend.ops;
    const struct tensor sums = tensor_2d(&lab->arena, DTYPE_F32, N_EXPERTS, 1);
    float squares[N_EXPERTS];
    ops->fill(&lab->backend, &sums, 0);
    for (int64_t e = 0; e < N_EXPERTS; e++) {
        const struct tensor slot = tensor_slice(&sums, e, 1), sum = tensor_as_2d(&slot, 1, 1);
        const struct tensor grad = tensor_slice(&param->grad, e, 1);
        ops->sum_squares(&lab->backend, &sum, &grad);
    }
    ops->download(&lab->backend, squares, &sums, sizeof squares);
    for (int e = 0; e < N_EXPERTS; e++)
        norms[e] += sqrtf(squares[e]);
}

/* value -= rate * grad / the sum of the expert's norms, for the filters and their biases. */
static void step_normalized(struct lab *lab, double rate)
{
    struct param *const filters[] = {lab->experts.up, lab->experts.up_bias};
    float norms[N_EXPERTS] = {0};
    for (int i = 0; i < 2; i++)
        add_norms(lab, norms, filters[i]);
    for (int64_t e = 0; e < N_EXPERTS; e++) {
        for (int i = 0; i < 2 && norms[e] > 0; i++) { /* 0: an expert without points */
            const struct tensor grad = tensor_slice(&filters[i]->grad, e, 1);
            const struct tensor value = tensor_slice(&filters[i]->weight.value, e, 1);
            lab->backend.ops->add(&lab->backend, &value, &grad, -rate / norms[e]);
        }
    }
}

static void step_adam(struct lab *lab, struct param *param, int64_t step)
{
    const struct adam adam = {.learning_rate =
                                  lab->trial->is_cubic ? single_rate_cubic : single_rate_linear,
                              .beta1 = 0.9,
                              .beta2 = 0.999,
                              .epsilon = 1e-8,
                              .step = step,
                              .gradient_scale = 1};
    lab->backend.ops->add(&lab->backend, &param->grad, &param->weight.value, single_decay);
    lab->backend.ops->adam_step(&lab->backend, &param->weight.value, &param->first, &param->second,
                                &param->grad, &adam);
}

static void update(struct lab *lab, int64_t step)
{
    const struct trial *trial = lab->trial;
    if (trial->is_mixture) {
        const struct recipe *recipe = recipe_of(trial);
        const double left = 1 - (double)(step - 1) / (double)trial->n_steps;
        const double share = recipe->falls ? left : 1;
        step_normalized(lab, recipe->expert_rate * share);
        lab->backend.ops->add(&lab->backend, &lab->gate.weight->weight.value,
                              &lab->gate.weight->grad, -recipe->gate_rate * share);
    } else {
        step_adam(lab, lab->experts.up, step);
        step_adam(lab, lab->experts.up_bias, step);
    }
    param_list_pack(&lab->params);
}

/* -- the trial -- */

static double entropy_of(struct lab *lab, const struct record *record)
{
    const int64_t count = lab->trial->n_points;
    const size_t size = (size_t)count * sizeof(int32_t);
    int32_t *experts = arena_take(&lab->host, size);
    lab->backend.ops->download(&lab->backend, experts, &record->gate.gating.experts, size);
    return patches_entropy(experts, lab->patches[0].cluster, count, N_EXPERTS);
}

/* Whether a step is the last: of all, or the loss of a mixture is as low as it can be, or rests. */
static bool ends_with(struct lab *lab, int64_t step, double loss)
{
    const double before = step > 1 ? lab->lowest[(step - 1) % REST_STEPS] : INFINITY;
    const double lowest = fmin(loss, before), earlier = lab->lowest[step % REST_STEPS];
    lab->lowest[step % REST_STEPS] = lowest;
    if (step == lab->trial->n_steps || !lab->trial->is_mixture)
        return step == lab->trial->n_steps;
    return loss <= loss_floor ||
           (recipe_of(lab->trial)->may_end && step > REST_STEPS && earlier - lowest < least_gain);
}

/* Step number `step` (1 the first): result is what the model was before it. */
static enum status train_step(struct lab *lab, int64_t step, struct trial_result *result)
{
    struct record record;
    float *d_logits;
    lab->pass.step = (uint32_t)step;
    result->n_steps = step;
    result->loss = run_part(lab, 0, &record, &d_logits, &result->train_accuracy);
    lab->is_last = ends_with(lab, step, result->loss);
    if (lab->is_last && lab->trial->is_mixture)
        result->entropy = entropy_of(lab, &record);
    const struct tensor d = tensor_like(&lab->arena, &record.logits);
    lab->backend.ops->upload(&lab->backend, &d, d_logits,
                             (size_t)tensor_count(&d) * sizeof *d_logits);
    param_list_zero_gradients(&lab->params);
    backward(lab, &record, &d);
    update(lab, step);
    if (!isfinite(result->loss))
        return status_set(STATUS_DIVERGED, "lab: the loss of step %lld is not finite",
                          (long long)step);
    return backend_sync(&lab->backend);
}

static enum status train_and_test(struct lab *lab, struct trial_result *result)
{
    const struct pass_mark mark = pass_mark(&lab->pass);
    while (!lab->is_last) {
        const enum status status = train_step(lab, result->n_steps + 1, result);
        if (status < 0)
            return status;
        pass_release(&lab->pass, mark);
    }
    struct record record;
    float *logits;
    run_part(lab, 1, &record, &logits, &result->test_accuracy);
    return backend_sync(&lab->backend);
}

enum status trial_run(const struct trial *trial, struct trial_result *result)
{
    struct lab lab = {.trial = trial};
    struct patches_vectors vectors;
    *result = (struct trial_result){0};
    enum status status = backend_open(&lab.backend, "cpu", 1);
    if (status < 0 || (status = backend_arena_init(&lab.backend, &lab.params_arena, 0)) < 0 ||
        (status = backend_arena_init(&lab.backend, &lab.arena, 0)) < 0 ||
        (status = arena_init(&lab.host, 0)) < 0)
        goto done;
    lab.pass = (struct pass){
        .backend = &lab.backend, .arena = &lab.arena, .host = &lab.host, .seed = trial->seed};
    if ((status = build_model(&lab)) < 0)
        goto done;
    patches_draw_vectors(&vectors, trial->seed);
    load_inputs(&lab, 0, &vectors);
    load_inputs(&lab, 1, &vectors);
    status = train_and_test(&lab, result);
done:
    param_list_free(&lab.params);
    arena_free(&lab.arena);
    arena_free(&lab.host);
    arena_free(&lab.params_arena);
    backend_close(&lab.backend);
    return status;
}
