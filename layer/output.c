/* Softmax output and loss, a block of rows at a time. */
#include "layer/output.h"

#include <math.h>

#include "layer/phase.h"

/* Logits of so many rows of a search stay in a processor's cache until they are read. */
enum { SEARCH_BLOCK_ROWS = 64 };

void output_init(struct output *output, struct param_list *params, const char *prefix,
                 int64_t vocabulary, int64_t dim, struct param *tied)
{
    *output = (struct output){.weight = tied};
    if (tied) {
        tied->forms |= PACK_TRANSPOSED;
        if (params->is_int8)
            param_round(params, tied);
    } else {
        output->weight = param_add(params,
                                   (struct param_spec){.rank = 2,
                                                       .dim = {vocabulary, dim},
                                                       .start = PARAM_NORMAL,
                                                       .bound = 1 / sqrt((double)dim),
                                                       .forms = PACK_TRANSPOSED,
                                                       .may_round = true},
                                   "%s.weight", prefix);
    }
    output->bias =
        param_add(params, (struct param_spec){.rank = 1, .dim = {vocabulary}}, "%s.bias", prefix);
}

void output_logits(const struct output *output, const struct pass *pass,
                   const struct tensor *logits, const struct tensor *x)
{
    pass->backend->ops->linear(pass->backend, logits, x, &output->weight->weight, true,
                               &output->bias->weight.value, ACTIVATION_NONE, false);
}

void output_top_k(const struct output *output, const struct pass *pass, const struct tensor *values,
                  const struct tensor *words, const struct tensor *log_sums, const struct tensor *x)
{
    const int64_t n_rows = x->dim[0], n_words = output->weight->weight.value.dim[0];
    const size_t mark = arena_mark(pass->arena);
    const int64_t n_block = n_rows < SEARCH_BLOCK_ROWS ? n_rows : SEARCH_BLOCK_ROWS;
    const struct tensor block = pass_2d(pass, n_block, n_words);
    pass->backend->ops->linear_top_k(pass->backend, values, words, log_sums, &block, x,
                                     &output->weight->weight, &output->bias->weight.value);
    arena_release(pass->arena, mark);
}

static int64_t block_rows(int64_t n_rows)
{
    return n_rows < OUTPUT_BLOCK_ROWS ? n_rows : OUTPUT_BLOCK_ROWS;
}

size_t output_loss_bytes(const struct output *output, const struct pass *pass, int64_t n_rows)
{
    return (size_t)(block_rows(n_rows) * output->weight->weight.value.dim[0]) *
           dtype_size(pass->backend->real);
}

void output_loss(const struct output *output, const struct pass *pass, const struct tensor *loss,
                 const struct tensor *nll, const struct tensor *x, const struct tensor *targets,
                 double smoothing, double scale, const struct tensor *d_x)
{
    const struct backend_ops *ops = pass->backend->ops;
    const int64_t n_rows = x->dim[0], n_words = output->weight->weight.value.dim[0];
    const size_t mark = arena_mark(pass->arena);
    const int64_t n_block = block_rows(n_rows);
    const struct tensor block = pass_2d(pass, n_block, n_words);
    for (int64_t first = 0; first < n_rows; first += n_block) {
        const int64_t count = n_rows - first < n_block ? n_rows - first : n_block;
        const struct tensor logits = tensor_slice(&block, 0, count);
        const struct tensor x_part = tensor_slice(x, first, count);
        const struct tensor loss_part = tensor_slice(loss, first, count);
        const struct tensor nll_part = tensor_slice(nll, first, count);
        const struct tensor target_part = tensor_slice(targets, first, count);
        phase_enter(pass->backend, PHASE_OUTPUT);
        output_logits(output, pass, &logits, &x_part);
        ops->cross_entropy(pass->backend, &loss_part, &nll_part, &logits, &target_part, smoothing,
                           d_x ? scale : 0);
        phase_leave(pass->backend);
        if (!d_x)
            continue;
        /* logits = x W^T, so W's gradient is d_logits^T x, and d_x = d_logits W. */
        const struct tensor d_x_part = tensor_slice(d_x, first, count);
        phase_enter(pass->backend, PHASE_OUTPUT_BACKWARD);
        ops->linear(pass->backend, &d_x_part, &logits, &output->weight->weight, false, NULL,
                    ACTIVATION_NONE, false);
        ops->linear_gradient(pass->backend, &output->weight->grad, NULL, &logits, &x_part);
        ops->column_sums(pass->backend, &output->bias->grad, &logits);
        phase_leave(pass->backend);
    }
    arena_release(pass->arena, mark);
}
