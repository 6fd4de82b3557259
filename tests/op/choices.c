/* The weights of choices, masks, and what is done with choices: sorting and combining. */
#include <math.h>

#include "tests/op/op.h"

/* -- drawing -- */

/* Adds starts [rows+1] and returns the number of choices: none, all of them, or some. */
static int64_t add_starts(struct checker *c, struct trial *trial, int64_t rows, int64_t n_experts)
{
    double *starts = add_ints(c, trial, "starts", USE_IN, 1, 1, rows + 1, 0);
    for (int64_t n = 0; n < rows; n++) {
        const int64_t kind = draw_below(c, 4);
        starts[n + 1] = starts[n] + (double)(kind == 0   ? 0
                                             : kind == 1 ? n_experts
                                                         : draw_below(c, n_experts + 1));
    }
    return (int64_t)starts[rows];
}

static void add_no_starts(struct checker *c, struct trial *trial)
{
    add_ints(c, trial, "starts", USE_IN, 1, 1, -1, 0);
}

/* What a trial of choices has: K each, or, for k 0, as many as the operand "starts" says. */
struct choices {
    int rank;       /* of tensors over choices */
    int64_t d0, d1; /* their shape */
};

static struct choices add_choices(struct checker *c, struct trial *trial, int64_t rows,
                                  int64_t n_experts, int64_t k)
{
    if (k == 0)
        return (struct choices){1, add_starts(c, trial, rows, n_experts), 0};
    add_no_starts(c, trial);
    return (struct choices){2, rows, k};
}

/* The choices first .. last-1 of token n. */
struct run {
    int64_t first, last;
};

static struct run run_of(const struct choices *choices, const double *starts, int64_t n)
{
    if (choices->rank == 2)
        return (struct run){n * choices->d1, (n + 1) * choices->d1};
    return (struct run){(int64_t)starts[n], (int64_t)starts[n + 1]};
}

/* Each token's experts differ. starts is operand 0. */
static void add_experts(struct checker *c, struct trial *trial, struct choices choices,
                        int64_t n_experts)
{
    double *experts =
        add_ints(c, trial, "experts", USE_IN, 1, choices.rank, choices.d0, choices.d1);
    const double *starts = choices.rank == 1 ? trial->operands[0].values : NULL;
    const int64_t rows = starts ? trial->operands[0].dim[0] - 1 : choices.d0;
    for (int64_t n = 0; n < rows; n++) {
        const struct run run = run_of(&choices, starts, n);
        int64_t e = 0;
        for (int64_t at = run.first; at < run.last; at++, e++) {
            e += draw_below(c, n_experts - e - (run.last - at) + 1);
            experts[at] = (double)e;
        }
    }
}

/* Rows that sum to 1, with ties where is_tied. */
static double *add_chances(struct checker *c, struct trial *trial, int64_t rows, int64_t n_experts,
                           bool is_tied)
{
    double *p = add_reals(c, trial, "p", USE_IN, 1, 2, rows, n_experts, 0);
    for (int64_t n = 0; n < rows; n++) {
        double sum = 0;
        for (int64_t e = 0; e < n_experts; e++)
            sum += p[n * n_experts + e] =
                is_tied ? (double)(1 + draw_below(c, 4)) / 8 : 0.01 + fabs(p[n * n_experts + e]);
        for (int64_t e = 0; e < n_experts && !is_tied; e++)
            p[n * n_experts + e] = (float)(p[n * n_experts + e] / sum);
    }
    return p;
}

/* -- rows, experts, choices of each (0: starts), groups (0: absent) -- */

static const int64_t shapes[][4] = {
    {0, 4, 2, 0},    {0, 4, 0, 3},     {1, 4, 2, 0},    {1, 1, 1, 0},     {1, 9, 0, 0},
    {7, 5, 1, 0},    {17, 16, 16, 0},  {65, 33, 3, 0},  {300, 40, 2, 0},  {255, 7, 0, 0},
    {30, 7, 2, 5},   {500, 20, 3, 17}, {200, 17, 0, 9}, {100, 64, 2, 64}, {1025, 16, 0, 0},
    {31, 32, 32, 0}, {32, 31, 4, 3},   {33, 33, 0, 0}};

static const int64_t bench_shapes[][4] = {
    {1792, 16, 2, 0}, {1792, 1024, 4, 0}, {1792, 64, 0, 0}, {4096, 64, 2, 64}};

static void try_shapes(struct checker *c, void (*try)(struct checker *, const int64_t shape[4]))
{
    const size_t n_shapes = sizeof shapes / sizeof *shapes;
    const size_t n_bench = sizeof bench_shapes / sizeof *bench_shapes;
    for (size_t i = 0; i < (c->is_bench ? n_bench : n_shapes); i++)
        try(c, c->is_bench ? bench_shapes[i] : shapes[i]);
}

/* -- weights: starts, experts, x, then results -- */

static void call_choice_weights(struct backend *backend, struct tensor *t, struct weight *w,
                                const struct trial *trial)
{
    (void)w;
    backend->ops->choice_weights(backend, &t[3], &t[2], &t[1], given(&t[0]), trial->flag[0]);
}

/* Some tokens score so low that their chance among all experts is 0. */
static void spread_scores(double *x, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        x[i] = i % 3 == 0 ? (double)(i % 7 - 300) : x[i];
}

static void try_choice_weights(struct checker *c, const int64_t shape[4])
{
    for (int is_softmax = 0; is_softmax < 2; is_softmax++) {
        struct trial trial = trial_of(c, "choice_weights", call_choice_weights);
        const struct choices choices = add_choices(c, &trial, shape[0], shape[1], shape[2]);
        add_experts(c, &trial, choices, shape[1]);
        double *x = add_reals(c, &trial, "x", USE_IN, 1, 2, shape[0], shape[1], 0);
        spread_scores(x, shape[0] * shape[1]);
        add_reals(c, &trial, "weights", USE_OUT, 1, choices.rank, choices.d0, choices.d1, 0);
        trial.flag[0] = is_softmax;
        check_trial(c, &trial);
    }
}

static void check_choice_weights(struct checker *c)
{
    try_shapes(c, try_choice_weights);
}

static void call_choice_weights_backward(struct backend *backend, struct tensor *t,
                                         struct weight *w, const struct trial *trial)
{
    (void)w;
    backend->ops->choice_weights_backward(backend, &t[5], &t[4], &t[3], &t[1], given(&t[0]),
                                          trial->flag[0]);
}

/* A slope's summands are its choice's own gradient and, from the softmax, all of its token's. */
static void add_slope_scale(struct checker *c, struct trial *trial, const struct choices *choices)
{
    const double *starts = trial->operands[0].values, *experts = trial->operands[1].values;
    const double *weights = trial->operands[3].values, *d_weights = trial->operands[4].values;
    const struct operand *d_x = &trial->operands[5];
    double *scale = add_scale(c, trial);
    for (int64_t n = 0; n < d_x->dim[0] && trial->flag[0]; n++) {
        const struct run run = run_of(choices, starts, n);
        double sum = 0;
        for (int64_t i = run.first; i < run.last; i++)
            sum += fabs(weights[i] * d_weights[i]);
        for (int64_t i = run.first; i < run.last; i++)
            scale[n * d_x->dim[1] + (int64_t)experts[i]] =
                fabs(weights[i]) * (fabs(d_weights[i]) + sum);
    }
}

static void try_choice_weights_backward(struct checker *c, const int64_t shape[4])
{
    for (int is_softmax = 0; is_softmax < 2; is_softmax++) {
        struct trial trial = trial_of(c, "choice_weights", call_choice_weights);
        const struct choices choices = add_choices(c, &trial, shape[0], shape[1], shape[2]);
        add_experts(c, &trial, choices, shape[1]);
        double *x = add_reals(c, &trial, "x", USE_IN, 1, 2, shape[0], shape[1], 0);
        spread_scores(x, shape[0] * shape[1]);
        add_reals(c, &trial, "weights", USE_INOUT, 1, choices.rank, choices.d0, choices.d1, 0);
        trial.flag[0] = is_softmax;
        run_trial(c, &c->ref, &trial);
        trial.op = "choice_weights_backward";
        trial.call = call_choice_weights_backward;
        trial.operands[3].use = USE_IN;
        add_reals(c, &trial, "d_weights", USE_IN, 1, choices.rank, choices.d0, choices.d1, 0);
        add_reals(c, &trial, "d_x", USE_OUT, 1, 2, shape[0], shape[1], 0);
        add_slope_scale(c, &trial, &choices);
        check_trial(c, &trial);
    }
}

static void check_choice_weights_backward(struct checker *c)
{
    try_shapes(c, try_choice_weights_backward);
}

/* -- masks: mask, p, groups; and with thresholds -- */

static void call_balanced_mask(struct backend *backend, struct tensor *t, struct weight *w,
                               const struct trial *trial)
{
    (void)w;
    backend->ops->balanced_mask(backend, &t[0], &t[1], given(&t[2]), trial->number[0],
                                trial->number[1]);
}

/* kind 0: different numbers; 1: many ties; 2: of both signs, zeros and NaNs; 3: neighbours, of
 * which every other column has one alone. */
static void try_balanced_mask(struct checker *c, const int64_t shape[4])
{
    for (int kind = 0; kind < (c->is_bench ? 1 : 4); kind++) {
        struct trial trial = trial_of(c, "balanced_mask", call_balanced_mask);
        add_ints(c, &trial, "mask", USE_EXACT, 1, 2, shape[0], shape[1]);
        double *p = add_chances(c, &trial, shape[0], shape[1], kind == 1);
        static const double odd[] = {-1, -0.0, 0, 0.5, NAN, -INFINITY, INFINITY, -0.25};
        for (int64_t i = 0; kind == 2 && i < shape[0] * shape[1]; i++)
            p[i] = odd[draw_below(c, 8)];
        for (int64_t i = 0; kind == 3 && i < shape[0] * shape[1]; i++)
            p[i] = 0.5 + 0x1p-24 * (i % shape[1] % 2 ? 8 : (double)draw_below(c, 300));
        add_groups(c, &trial, shape[3], shape[0]);
        trial.number[0] = shape[2] ? shape[2] : 1;
        trial.number[1] = kind == 1 ? 3 * shape[1] : shape[1]; /* the columns are a third, or all */
        check_trial(c, &trial);
    }
}

static void check_balanced_mask(struct checker *c)
{
    try_shapes(c, try_balanced_mask);
}

static void call_threshold_mask(struct backend *backend, struct tensor *t, struct weight *w,
                                const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->threshold_mask(backend, &t[0], &t[1], &t[2], given(&t[3]));
}

/* Thresholds round 1 / E; some are 0 or above 1. */
static void add_thresholds(struct checker *c, struct trial *trial, const int64_t shape[4])
{
    const int64_t n_all = shape[1] * (shape[3] ? shape[3] : 1);
    double *thresholds = add_reals(c, trial, "log_threshold", USE_IN, 0.3, 1, n_all, 0, 0);
    for (int64_t e = 0; e < n_all; e++)
        thresholds[e] = e % 7 == 3   ? -200
                        : e % 7 == 5 ? 0.0078125
                                     : (float)(thresholds[e] - log((double)shape[1]));
}

static void try_threshold_mask(struct checker *c, const int64_t shape[4])
{
    struct trial trial = trial_of(c, "threshold_mask", call_threshold_mask);
    add_ints(c, &trial, "mask", USE_EXACT, 1, 2, shape[0], shape[1]);
    double *p = add_chances(c, &trial, shape[0], shape[1], false);
    add_thresholds(c, &trial, shape);
    add_groups(c, &trial, shape[3], shape[0]);
    /* Chances that are a threshold, rounded down or up to f32. */
    const double *threshold = trial.operands[2].values;
    for (int64_t n = 0; n < shape[0] && shape[3] == 0; n += 3)
        for (int64_t e = 0; e < shape[1]; e++)
            p[n * shape[1] + e] = (float)exp(threshold[e]);
    check_trial(c, &trial);
}

static void check_threshold_mask(struct checker *c)
{
    try_shapes(c, try_threshold_mask);
}

static void call_threshold_loss(struct backend *backend, struct tensor *t, struct weight *w,
                                const struct trial *trial)
{
    (void)w;
    backend->ops->threshold_loss(backend, &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], given(&t[6]),
                                 trial->real[0]);
}

static void try_threshold_loss(struct checker *c, const int64_t shape[4])
{
    const int64_t n_all = shape[1] * (shape[3] ? shape[3] : 1);
    struct trial trial = trial_of(c, "threshold_loss", call_threshold_loss);
    add_reals(c, &trial, "loss", USE_OUT, 1, 1, 1, 0, 0);
    add_reals(c, &trial, "d_p", USE_INOUT, 0.1, 2, shape[0], shape[1], 0);
    add_reals(c, &trial, "d_log_threshold", USE_INOUT, 0.1, 1, n_all, 0, 0);
    add_chances(c, &trial, shape[0], shape[1], false);
    add_ints(c, &trial, "mask", USE_IN, 2, 2, shape[0], shape[1]);
    add_thresholds(c, &trial, shape);
    add_groups(c, &trial, shape[3], shape[0]);
    trial.real[0] = 0.3;
    check_trial(c, &trial);
}

static void check_threshold_loss(struct checker *c)
{
    try_shapes(c, try_threshold_loss);
}

/* -- lists of masks: mask, starts, experts -- */

static void call_mask_starts(struct backend *backend, struct tensor *t, struct weight *w,
                             const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->mask_starts(backend, &t[1], &t[0]);
}

static void call_mask_experts(struct backend *backend, struct tensor *t, struct weight *w,
                              const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->mask_experts(backend, &t[2], &t[0], &t[1]);
}

/* A mask whose rows are empty, full, or neither; returns the number of choices. */
static int64_t add_mask(struct checker *c, struct trial *trial, int64_t rows, int64_t n_experts)
{
    double *mask = add_ints(c, trial, "mask", USE_IN, 2, 2, rows, n_experts);
    int64_t count = 0;
    for (int64_t n = 0; n < rows; n++) {
        const int64_t kind = draw_below(c, 4);
        for (int64_t e = 0; e < n_experts; e++) {
            if (kind < 2)
                mask[n * n_experts + e] = (double)kind;
            count += mask[n * n_experts + e] > 0;
        }
    }
    return count;
}

static void try_mask_starts(struct checker *c, const int64_t shape[4])
{
    struct trial trial = trial_of(c, "mask_starts", call_mask_starts);
    add_mask(c, &trial, shape[0], shape[1]);
    add_ints(c, &trial, "starts", USE_EXACT, 1, 1, shape[0] + 1, 0);
    check_trial(c, &trial);
}

static void check_mask_starts(struct checker *c)
{
    try_shapes(c, try_mask_starts);
}

static void try_mask_experts(struct checker *c, const int64_t shape[4])
{
    struct trial trial = trial_of(c, "mask_starts", call_mask_starts);
    const int64_t count = add_mask(c, &trial, shape[0], shape[1]);
    add_ints(c, &trial, "starts", USE_EXACT, 1, 1, shape[0] + 1, 0);
    run_trial(c, &c->ref, &trial);
    trial.op = "mask_experts";
    trial.call = call_mask_experts;
    trial.operands[1].use = USE_IN;
    add_ints(c, &trial, "experts", USE_EXACT, 1, 1, count, 0);
    check_trial(c, &trial);
}

static void check_mask_experts(struct checker *c)
{
    try_shapes(c, try_mask_experts);
}

/* -- dispatch: starts, experts, groups, rows, place, offsets -- */

static void call_dispatch(struct backend *backend, struct tensor *t, struct weight *w,
                          const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->dispatch(backend, &t[3], &t[4], &t[5], &t[1], given(&t[0]), given(&t[2]));
}

static void try_dispatch(struct checker *c, const int64_t shape[4])
{
    const int64_t n_all = shape[1] * (shape[3] ? shape[3] : 1);
    struct trial trial = trial_of(c, "dispatch", call_dispatch);
    const struct choices choices = add_choices(c, &trial, shape[0], shape[1], shape[2]);
    const int64_t count = choices.rank == 1 ? choices.d0 : choices.d0 * choices.d1;
    add_experts(c, &trial, choices, shape[1]);
    add_groups(c, &trial, shape[3], shape[0]);
    add_ints(c, &trial, "rows", USE_EXACT, 1, 1, count, 0);
    add_ints(c, &trial, "place", USE_EXACT, 1, choices.rank, choices.d0, choices.d1);
    add_ints(c, &trial, "offsets", USE_EXACT, 1, 1, n_all + 1, 0);
    check_trial(c, &trial);
}

static void check_dispatch(struct checker *c)
{
    try_shapes(c, try_dispatch);
}

/* -- combine: starts, place, x, y, weights; d_x, d_weights -- */

static void call_combine(struct backend *backend, struct tensor *t, struct weight *w,
                         const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->combine(backend, &t[3], &t[2], given(&t[4]), &t[1], given(&t[0]));
}

static void call_combine_backward(struct backend *backend, struct tensor *t, struct weight *w,
                                  const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->combine_backward(backend, &t[5], &t[6], &t[2], &t[4], &t[1], given(&t[0]), &t[3]);
}

/* The gradient of a choice's weight is a sum over its token's row. */
static void add_weight_scale(struct checker *c, struct trial *trial, const struct choices *choices)
{
    const double *starts = trial->operands[0].values, *place = trial->operands[1].values;
    const double *x = trial->operands[2].values, *d_y = trial->operands[3].values;
    const int64_t rows = trial->operands[3].dim[0], width = trial->operands[3].dim[1];
    double *scale = add_scale(c, trial);
    for (int64_t n = 0; n < rows; n++) {
        const struct run run = run_of(choices, starts, n);
        for (int64_t i = run.first; i < run.last; i++)
            for (int64_t d = 0; d < width; d++)
                scale[i] += fabs(d_y[n * width + d] * x[(int64_t)place[i] * width + d]);
    }
}

static void try_combine(struct checker *c, const int64_t shape[4], bool is_backward,
                        bool has_weights)
{
    const int64_t width = c->is_bench ? 256 : 37;
    struct trial trial = trial_of(c, is_backward ? "combine_backward" : "combine",
                                  is_backward ? call_combine_backward : call_combine);
    const struct choices choices = add_choices(c, &trial, shape[0], shape[1], shape[2]);
    const int64_t d0 = choices.d0, d1 = choices.d1, count = choices.rank == 1 ? d0 : d0 * d1;
    add_permutation(c, &trial, "place", choices.rank, d0, d1, count);
    add_reals(c, &trial, "x", USE_IN, 1, 2, count, width, 0);
    add_reals(c, &trial, is_backward ? "d_y" : "y", is_backward ? USE_IN : USE_OUT, 1, 2, shape[0],
              width, 0);
    add_reals(c, &trial, "weights", USE_IN, 1, choices.rank, has_weights ? d0 : -1, d1, 0);
    if (is_backward) {
        add_reals(c, &trial, "d_x", USE_OUT, 1, 2, count, width, 0);
        add_reals(c, &trial, "d_weights", USE_OUT, 1, choices.rank, d0, d1, 0);
        add_weight_scale(c, &trial, &choices);
    }
    check_trial(c, &trial);
}

static void try_combine_forward(struct checker *c, const int64_t shape[4])
{
    try_combine(c, shape, false, true);
    try_combine(c, shape, false, false);
}

static void try_combine_backward(struct checker *c, const int64_t shape[4])
{
    try_combine(c, shape, true, true);
}

static void check_combine(struct checker *c)
{
    try_shapes(c, try_combine_forward);
}

static void check_combine_backward(struct checker *c)
{
    try_shapes(c, try_combine_backward);
}

const struct op_check choice_checks[] = {
    OP(choice_weights, check_choice_weights),
    OP(choice_weights_backward, check_choice_weights_backward),
    OP(balanced_mask, check_balanced_mask),
    OP(threshold_mask, check_threshold_mask),
    OP(threshold_loss, check_threshold_loss),
    OP(mask_starts, check_mask_starts),
    OP(mask_experts, check_mask_experts),
    OP(dispatch, check_dispatch),
    OP(combine, check_combine),
    OP(combine_backward, check_combine_backward),
    {0},
};
