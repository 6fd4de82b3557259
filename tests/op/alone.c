/* invariance.c for backends with memory of their own: rows computed alone equal the same rows in a
 * batch, bit by bit, in the operations that promise it there. Products in floats do not: libraries
 * choose their kernels by the number of rows. */
#include <string.h>

#include "tests/op/op.h"

enum { ROWS = 130 }; /* no other dimension is as large */

struct row_op {
    const char *name;
    void (*build)(struct checker *checker, struct trial *trial, int64_t width);
    void (*call)(struct backend *backend, struct tensor *t, struct weight *w,
                 const struct trial *trial);
    int64_t width;
    int n_outputs; /* operands 0 .. */
    bool flag;     /* W^T */
};

/* -- y, x -- */

static void build_rows(struct checker *c, struct trial *trial, int64_t width)
{
    add_reals(c, trial, "y", USE_OUT, 1, 2, ROWS, width, 0);
    add_reals(c, trial, "x", USE_IN, 3, 2, ROWS, width, 0);
}

static void call_softmax(struct backend *backend, struct tensor *t, struct weight *w,
                         const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->softmax(backend, &t[0], &t[1]);
}

static void build_sums(struct checker *c, struct trial *trial, int64_t width)
{
    add_reals(c, trial, "y", USE_OUT, 1, 1, ROWS, 0, 0);
    add_reals(c, trial, "x", USE_IN, 3, 2, ROWS, width, 0);
}

static void call_log_sum_exp(struct backend *backend, struct tensor *t, struct weight *w,
                             const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->log_sum_exp(backend, &t[0], &t[1]);
}

/* -- one query a sentence -- */

static void build_attention(struct checker *c, struct trial *trial, int64_t width)
{
    add_reals(c, trial, "weights", USE_INOUT, 2, 3, 1, ROWS, width);
    add_lengths(c, trial, ROWS, width, false);
}

static void call_attention(struct backend *backend, struct tensor *t, struct weight *w,
                           const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->attention_softmax(backend, &t[0], &t[1]);
}

/* -- the five largest -- */

static void build_top_k(struct checker *c, struct trial *trial, int64_t width)
{
    add_reals(c, trial, "values", USE_EXACT, 1, 2, ROWS, 5, 0);
    add_ints(c, trial, "indices", USE_EXACT, 1, 2, ROWS, 5);
    add_reals(c, trial, "log_sums", USE_OUT, 1, 1, ROWS, 0, 0);
    add_reals(c, trial, "x", USE_IN, 3, 2, ROWS, width, 0);
}

static void call_top_k(struct backend *backend, struct tensor *t, struct weight *w,
                       const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->top_k_log_sum(backend, &t[0], &t[1], &t[2], &t[3]);
}

/* -- products with weights in int8 -- */

static void build_linear(struct checker *c, struct trial *trial, int64_t width)
{
    add_reals(c, trial, "y", USE_OUT, 1, 2, ROWS, width, 0);
    add_reals(c, trial, "x", USE_IN, 1, 2, ROWS, 96, 0);
    add_weight(c, trial, "w", 2, trial->flag[0] ? width : 96, trial->flag[0] ? 96 : width, 0);
    trial->int8 = trial->flag[0] ? INT8_TRANSPOSED : INT8_PLAIN;
}

static void call_linear(struct backend *backend, struct tensor *t, struct weight *w,
                        const struct trial *trial)
{
    backend->ops->linear(backend, &t[0], &t[1], &w[2], trial->flag[0], NULL, ACTIVATION_TANH,
                         false);
}

static const struct row_op row_ops[] = {
    {"softmax", build_rows, call_softmax, 37, 1, false},
    {"softmax", build_rows, call_softmax, 1028, 1, false},
    {"log_sum_exp", build_sums, call_log_sum_exp, 37, 1, false},
    {"log_sum_exp", build_sums, call_log_sum_exp, 1025, 1, false},
    {"attention_softmax", build_attention, call_attention, 37, 1, false},
    {"top_k_log_sum", build_top_k, call_top_k, 64, 3, false},
    {"top_k_log_sum", build_top_k, call_top_k, 1025, 3, false},
    {"linear", build_linear, call_linear, 100, 1, false},
    {"linear", build_linear, call_linear, 100, 1, true},
};

/* The dimension that counts rows, or -1. */
static int row_dimension(const struct operand *operand)
{
    if (operand->dim[0] == ROWS)
        return 0;
    return operand->rank == 3 && operand->dim[0] == 1 && operand->dim[1] == ROWS ? 1 : -1;
}

/* Numbers of one row. */
static int64_t row_width(const struct operand *operand)
{
    int64_t width = 1;
    for (int d = row_dimension(operand) + 1; d < operand->rank; d++)
        width *= operand->dim[d];
    return width;
}

/* The same call for rows first .. first+count-1 alone. */
static struct trial cut(const struct trial *all, int64_t first, int64_t count)
{
    struct trial part = *all;
    for (int i = 0; i < part.n_operands; i++) {
        struct operand *operand = &part.operands[i];
        const int dimension = row_dimension(operand);
        if (dimension < 0)
            continue;
        operand->values += first * row_width(operand);
        operand->dim[dimension] = count;
    }
    return part;
}

static void check_alone(struct checker *c, const struct row_op *op)
{
    static const int64_t runs[][2] = {{0, 1}, {ROWS - 1, 1}, {5, 2}, {3, 7}, {1, 17}, {65, 64}};
    struct backend *backend = &c->handles[0];
    struct trial all = trial_of(c, op->name, op->call);
    all.flag[0] = op->flag;
    op->build(c, &all, op->width);
    for (int output = 0; output < op->n_outputs; output++) {
        const int64_t width = row_width(&all.operands[output]);
        const struct tensor wanted = outcome_of(c, backend, &all, output);
        for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
            const struct trial part = cut(&all, runs[i][0], runs[i][1]);
            const struct tensor found = outcome_of(c, backend, &part, output);
            const char *same = (const char *)wanted.data + runs[i][0] * width * 4;
            report(c, op->name, memcmp(found.data, same, (size_t)(runs[i][1] * width) * 4) == 0,
                   "%lld rows of %lld from %lld on differ from the same rows of %d",
                   (long long)runs[i][1], (long long)op->width, (long long)runs[i][0], ROWS);
        }
    }
    arena_release(&c->arena, all.mark);
}

void check_rows_alone(struct checker *checker)
{
    for (size_t i = 0; i < sizeof row_ops / sizeof *row_ops; i++)
        check_alone(checker, &row_ops[i]);
}
