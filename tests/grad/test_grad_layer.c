/* Gradients of the layers that encoder and decoder share, and of the attention. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "attention/attention.h"
#include "layer/embedding.h"
#include "layer/lstm.h"
#include "layer/output.h"
#include "tests/grad/grad.h"

/* -- embedding: one table read by two embeddings of different scale -- */

struct embedding_test {
    struct grad_test grad;
    struct embedding first, second;
    struct tensor first_ids, second_ids;
};

static double embed_one(struct grad_test *test, const struct embedding *embedding,
                        const struct tensor *ids, uint32_t stream, bool wants_gradient)
{
    const struct pass *pass = &test->fixture.pass;
    const int64_t dim = embedding->table->weight.value.dim[1];
    const struct tensor y = pass_3d(pass, ids->dim[0], ids->dim[1], dim);
    const struct tensor d_y = tensor_like(pass->arena, &y);
    embedding_forward(embedding, pass, &y, ids);
    const double loss = grad_project(test, stream, &y, NULL, &d_y);
    if (wants_gradient)
        embedding_backward(embedding, pass, &d_y, ids);
    return loss;
}

static double embedding_loss(struct grad_test *grad, bool wants_gradient)
{
    struct embedding_test *test = (struct embedding_test *)grad;
    return embed_one(grad, &test->first, &test->first_ids, 1, wants_gradient) +
           embed_one(grad, &test->second, &test->second_ids, 2, wants_gradient);
}

static struct param *add_table(struct fixture *fixture, int64_t vocabulary, int64_t dim)
{
    return param_add(
        &fixture->params,
        (struct param_spec){.rank = 2, .dim = {vocabulary, dim}, .start = PARAM_NORMAL, .bound = 1},
        "embedding");
}

static void test_embedding(void **state)
{
    (void)state;
    struct embedding_test test;
    grad_open(&test.grad, embedding_loss);
    struct param *table = add_table(&test.grad.fixture, 7, 3);
    test.first = (struct embedding){.table = table, .scale = 1.7};
    test.second = (struct embedding){.table = table, .scale = 1};
    test.first_ids = fixture_ids(&test.grad.fixture, 4, 3, 7);
    test.second_ids = fixture_ids(&test.grad.fixture, 2, 3, 7);
    fixture_start(&test.grad.fixture, 1);
    grad_check(&test.grad);
    grad_close(&test.grad);
}

/* -- linear -- */

struct linear_test {
    struct grad_test grad;
    struct linear linear;
    enum activation activation;
    bool accumulates;
};

static double linear_loss(struct grad_test *grad, bool wants_gradient)
{
    const struct linear_test *test = (struct linear_test *)grad;
    const struct pass *pass = &grad->fixture.pass;
    const struct grad_input *x = &grad->inputs[0];
    const struct tensor y =
        pass_2d(pass, tensor_rows(&x->value), test->linear.weight->weight.value.dim[1]);
    const struct tensor d_y = tensor_like(pass->arena, &y);
    linear_forward(&test->linear, pass, &y, &x->value, test->activation);
    const double loss = grad_project(grad, 1, &y, NULL, &d_y);
    if (!wants_gradient)
        return loss;
    pass->backend->ops->activate_backward(pass->backend, &d_y, &y, &d_y, test->activation);
    linear_backward(&test->linear, pass, &x->grad, &x->value, &d_y, test->accumulates);
    return loss;
}

static void check_linear(enum activation activation, bool has_bias, bool accumulates)
{
    struct linear_test test;
    grad_open(&test.grad, linear_loss);
    struct fixture *fixture = &test.grad.fixture;
    test.activation = activation;
    test.accumulates = accumulates;
    linear_init(&test.linear, &fixture->params, "linear", 4, 3, has_bias);
    grad_add_input(&test.grad, "x", fixture_random_3d(fixture, 2, 3, 4, 1), accumulates);
    fixture_start(fixture, 1);
    grad_check(&test.grad);
    grad_close(&test.grad);
}

static void test_linear(void **state)
{
    (void)state;
    check_linear(ACTIVATION_NONE, false, false);
    check_linear(ACTIVATION_NONE, true, true);
    check_linear(ACTIVATION_RELU, true, false);
    check_linear(ACTIVATION_TANH, true, false);
    check_linear(ACTIVATION_SIGMOID, true, false);
}

/* -- LSTM -- */

struct lstm_test {
    struct grad_test grad;
    struct lstm_layer layer;
    struct tensor lengths;
    bool by_step;
};

static void forward_by_step(const struct lstm_test *test, struct lstm_record *record,
                            const struct tensor *x)
{
    lstm_layer_record(&test->layer, &test->grad.fixture.pass, record, x);
    for (int64_t t = 0; t < x->dim[0]; t++)
        lstm_layer_forward_at(&test->layer, &test->grad.fixture.pass, record, t);
}

static void backward_by_step(const struct lstm_test *test, const struct tensor *d_x,
                             const struct tensor *d_r, const struct lstm_record *record)
{
    const struct pass *pass = &test->grad.fixture.pass;
    const struct tensor d_cell = pass_2d(pass, d_r->dim[1], record->lstm.cells.dim[2]);
    pass->backend->ops->fill(pass->backend, &d_cell, 0);
    for (int64_t t = d_x->dim[0] - 1; t >= 0; t--) {
        const struct tensor d_x_at = tensor_slice(d_x, t, 1);
        lstm_layer_backward_at(&test->layer, pass, &d_x_at, d_r, &d_cell, record, t);
    }
    lstm_layer_gradients(&test->layer, pass, d_r, record);
}

static double lstm_loss(struct grad_test *grad, bool wants_gradient)
{
    struct lstm_test *test = (struct lstm_test *)grad;
    const struct pass *pass = &grad->fixture.pass;
    const struct grad_input *x = &grad->inputs[0];
    struct lstm_record record;
    if (test->by_step)
        forward_by_step(test, &record, &x->value);
    else
        lstm_layer_forward(&test->layer, pass, &record, &x->value, &test->lengths);
    struct tensor d_r = tensor_like(pass->arena, &record.r);
    /* Padding gets a gradient as well, which must not reach anything. */
    const double loss = grad_project(grad, 1, &record.r, NULL, &d_r);
    if (wants_gradient && test->by_step)
        backward_by_step(test, &x->grad, &d_r, &record);
    else if (wants_gradient)
        lstm_layer_backward(&test->layer, pass, &x->grad, &d_r, &record);
    return loss;
}

static void check_lstm(int64_t n_t, const int32_t *lengths, bool is_reversed, int64_t n_p,
                       bool by_step)
{
    enum { B = 3, I = 4, H = 5 };
    struct lstm_test test;
    grad_open(&test.grad, lstm_loss);
    test.by_step = by_step;
    struct fixture *fixture = &test.grad.fixture;
    lstm_init(&test.layer, &fixture->params, "lstm", I, H, n_p, is_reversed);
    test.lengths = lengths ? fixture_ints(fixture, lengths, B) : (struct tensor){0};
    grad_add_input(&test.grad, "x", fixture_random_3d(fixture, n_t, B, I, 1), false);
    fixture_start(fixture, 0.8);
    grad_check(&test.grad);
    grad_close(&test.grad);
}

static void test_lstm(void **state)
{
    (void)state;
    const int32_t ragged[] = {5, 1, 3};
    const int32_t ones[] = {1, 1, 1};
    for (int is_reversed = 0; is_reversed < 2; is_reversed++)
        for (int n_p = 0; n_p <= 3; n_p += 3) {
            check_lstm(6, NULL, is_reversed, n_p, false);
            check_lstm(6, ragged, is_reversed, n_p, false);
            check_lstm(1, NULL, is_reversed, n_p, false);
            check_lstm(1, ones, is_reversed, n_p, false);
        }
}

static void test_lstm_by_step(void **state)
{
    (void)state;
    for (int64_t n_p = 0; n_p <= 3; n_p += 3) {
        check_lstm(5, NULL, false, n_p, true);
        check_lstm(1, NULL, false, n_p, true);
    }
}

/* The operation from a given state: the loss is of r and of the last cells. */
static double state_loss(struct grad_test *grad, bool wants_gradient)
{
    const struct lstm_test *test = (struct lstm_test *)grad;
    const struct pass *pass = &grad->fixture.pass;
    const struct lstm_layer *layer = &test->layer;
    const struct grad_input *x = &grad->inputs[0], *first_r = &grad->inputs[1];
    const struct grad_input *first_c = &grad->inputs[2];
    struct lstm_record record;
    lstm_layer_record(layer, pass, &record, &x->value);
    record.lstm.lengths = test->lengths;
    record.lstm.first_r = first_r->value;
    record.lstm.first_c = first_c->value;
    pass->backend->ops->lstm_forward(pass->backend, &record.r, &x->value, &record.lstm);
    const int64_t last = layer->is_reversed ? 0 : x->value.dim[0] - 1;
    const struct tensor cells = tensor_slice(&record.lstm.cells, last, 1);
    struct tensor d_r = tensor_like(pass->arena, &record.r);
    const struct tensor d_cell = tensor_like(pass->arena, &cells);
    const double loss =
        grad_project(grad, 1, &record.r, NULL, &d_r) + grad_project(grad, 2, &cells, NULL, &d_cell);
    if (!wants_gradient)
        return loss;
    struct lstm_gradients gradients = {.input = layer->input->grad,
                                       .recurrent = layer->recurrent->grad,
                                       .bias = layer->bias->grad,
                                       .first_r = first_r->grad,
                                       .cell = d_cell};
    if (layer->projection)
        gradients.projection = layer->projection->grad;
    pass->backend->ops->lstm_backward(pass->backend, &x->grad, &d_r, &x->value, &record.r,
                                      &record.lstm, &gradients);
    pass->backend->ops->copy(pass->backend, &first_c->grad, &d_cell);
    return loss;
}

static void test_lstm_state(void **state)
{
    (void)state;
    enum { T = 4, B = 3, I = 4, H = 5 };
    const int32_t lengths[B] = {4, 1, 3};
    for (int variant = 0; variant < 8; variant++) {
        const int64_t n_p = variant & 1 ? 0 : 3;
        struct lstm_test test;
        grad_open(&test.grad, state_loss);
        struct fixture *fixture = &test.grad.fixture;
        lstm_init(&test.layer, &fixture->params, "lstm", I, H, n_p, variant & 2);
        test.lengths = variant & 4 ? fixture_ints(fixture, lengths, B) : (struct tensor){0};
        grad_add_input(&test.grad, "x", fixture_random_3d(fixture, T, B, I, 1), false);
        grad_add_input(&test.grad, "first_r", fixture_random_2d(fixture, B, n_p ? n_p : H, 1),
                       true);
        grad_add_input(&test.grad, "first_c", fixture_random_2d(fixture, B, H, 1), false);
        fixture_start(fixture, 0.8);
        grad_check(&test.grad);
        grad_close(&test.grad);
    }
}

/* -- dropout, with its key fixed -- */

struct dropout_test {
    struct grad_test grad;
    struct tensor names;
};

static double dropout_loss(struct grad_test *grad, bool wants_gradient)
{
    const struct dropout_test *test = (struct dropout_test *)grad;
    const struct pass *pass = &grad->fixture.pass;
    const struct grad_input *x = &grad->inputs[0], *residual = &grad->inputs[1];
    const struct tensor y = tensor_like(pass->arena, &x->value);
    const struct tensor d_y = tensor_like(pass->arena, &x->value);
    pass_dropout(pass, 5, &y, &x->value, &residual->value, &test->names);
    const double loss = grad_project(grad, 1, &y, NULL, &d_y);
    if (wants_gradient) {
        pass_dropout(pass, 5, &x->grad, &d_y, NULL, &test->names);
        pass->backend->ops->copy(pass->backend, &residual->grad, &d_y);
    }
    return loss;
}

static void test_dropout(void **state)
{
    (void)state;
    const int32_t names[] = {3, 1, 4, 15, 9, 26};
    struct dropout_test test;
    grad_open(&test.grad, dropout_loss);
    struct fixture *fixture = &test.grad.fixture;
    fixture->pass.dropout = 0.4;
    test.names = fixture_ints(fixture, names, 6);
    grad_add_input(&test.grad, "x", fixture_random_3d(fixture, 2, 3, 11, 1), false);
    grad_add_input(&test.grad, "residual", fixture_random_3d(fixture, 2, 3, 11, 1), false);
    grad_check(&test.grad);
    grad_close(&test.grad);
}

/* -- attention -- */

struct attention_test {
    struct grad_test grad;
    struct attention attention;
    struct tensor lengths;
};

static double attention_loss(struct grad_test *grad, bool wants_gradient)
{
    const struct attention_test *test = (struct attention_test *)grad;
    const struct pass *pass = &grad->fixture.pass;
    const struct grad_input *x = &grad->inputs[0], *memory = &grad->inputs[1];
    struct attention_source source;
    struct attention_record record;
    const struct tensor context = tensor_like(pass->arena, &x->value);
    const struct tensor d_context = tensor_like(pass->arena, &x->value);
    const struct attention *attention = &test->attention;
    attention_start(attention, pass, &source, &memory->value, &test->lengths);
    attention_forward(attention, pass, &record, &source, &x->value, &context);
    const double loss = grad_project(grad, 1, &context, NULL, &d_context);
    if (wants_gradient)
        attention_backward(attention, pass, &x->grad, &memory->grad, &record, &source, &d_context);
    return loss;
}

static double attention_loss_by_step(struct grad_test *grad, bool wants_gradient)
{
    const struct attention_test *test = (struct attention_test *)grad;
    const struct pass *pass = &grad->fixture.pass;
    const struct grad_input *x = &grad->inputs[0], *memory = &grad->inputs[1];
    struct attention_source source;
    struct attention_record record;
    struct attention_gradient gradient;
    const struct tensor context = tensor_like(pass->arena, &x->value);
    const struct tensor d_context = tensor_like(pass->arena, &x->value);
    const struct attention *attention = &test->attention;
    attention_start(attention, pass, &source, &memory->value, &test->lengths);
    attention_record_start(attention, pass, &record, &source, &x->value);
    for (int64_t t = 0; t < x->value.dim[0]; t++)
        attention_forward_at(attention, pass, &record, &source, &context, t);
    const double loss = grad_project(grad, 1, &context, NULL, &d_context);
    if (!wants_gradient)
        return loss;
    attention_gradient_start(attention, pass, &gradient, &record, &source);
    for (int64_t t = x->value.dim[0] - 1; t >= 0; t--)
        attention_backward_at(attention, pass, &x->grad, &gradient, &record, &source, &d_context,
                              t);
    attention_gradients(attention, pass, &memory->grad, &gradient, &record, &source, &d_context);
    return loss;
}

static void check_attention(enum attention_kind kind,
                            double (*loss)(struct grad_test *grad, bool wants_gradient))
{
    const int32_t lengths[] = {5, 1, 3};
    struct attention_test test;
    grad_open(&test.grad, loss);
    struct fixture *fixture = &test.grad.fixture;
    attention_init(&test.attention, &fixture->params, "attention", 4, 3, kind);
    test.lengths = fixture_ints(fixture, lengths, 3);
    grad_add_input(&test.grad, "x", fixture_random_3d(fixture, 4, 3, 4, 1), true);
    grad_add_input(&test.grad, "memory", fixture_random_3d(fixture, 5, 3, 4, 1), true);
    fixture_start(fixture, 1);
    grad_check(&test.grad);
    grad_close(&test.grad);
}

static void test_attention(void **state)
{
    (void)state;
    check_attention(ATTENTION_FACTORED, attention_loss);
    check_attention(ATTENTION_FACTORED, attention_loss_by_step);
    check_attention(ATTENTION_ADDITIVE, attention_loss);
    check_attention(ATTENTION_ADDITIVE, attention_loss_by_step);
}

/* -- output and loss; tied: the table is an embedding, too -- */

struct output_test {
    struct grad_test grad;
    struct output output;
    struct embedding embedding;
    struct tensor ids, targets;
};

static double output_test_loss(struct grad_test *grad, bool wants_gradient)
{
    const struct output_test *test = (struct output_test *)grad;
    struct fixture *fixture = &grad->fixture;
    const struct pass *pass = &fixture->pass;
    const struct grad_input *input = &grad->inputs[0];
    const int64_t n_rows = input->value.dim[0];
    const double scale = 0.3;
    const struct tensor x = tensor_like(pass->arena, &input->value);
    const struct tensor loss = tensor_1d(pass->arena, pass->backend->real, n_rows);
    const struct tensor nll = tensor_1d(pass->arena, pass->backend->real, n_rows);
    if (test->embedding.table)
        embedding_forward(&test->embedding, pass, &x, &test->ids);
    else
        pass->backend->ops->fill(pass->backend, &x, 0);
    pass->backend->ops->add(pass->backend, &x, &input->value, 1);
    output_loss(&test->output, pass, &loss, &nll, &x, &test->targets, 0.1, scale,
                wants_gradient ? &input->grad : NULL);
    if (wants_gradient && test->embedding.table)
        embedding_backward(&test->embedding, pass, &input->grad, &test->ids);
    double sum = 0;
    for (int64_t n = 0; n < n_rows; n++)
        sum += scale * fixture_get(fixture, &loss, n);
    return sum;
}

static void open_output(struct output_test *test, int64_t n_rows, bool is_tied)
{
    enum { V = 7, D = 4 };
    *test = (struct output_test){0};
    grad_open(&test->grad, output_test_loss);
    struct fixture *fixture = &test->grad.fixture;
    if (is_tied)
        test->embedding = (struct embedding){.table = add_table(fixture, V, D), .scale = 2};
    output_init(&test->output, &fixture->params, "output", V, D, test->embedding.table);
    const struct tensor ids = fixture_ids(fixture, n_rows, 1, V);
    const struct tensor targets = fixture_ids(fixture, n_rows, 1, V);
    test->ids = ids;
    test->targets = tensor_as_2d(&targets, n_rows, 1);
    grad_add_input(&test->grad, "x", fixture_random_2d(fixture, n_rows, D, 1), false);
    fixture_start(fixture, 1);
}

static void test_output(void **state)
{
    (void)state;
    for (int is_tied = 0; is_tied < 2; is_tied++) {
        struct output_test test;
        open_output(&test, 6, is_tied);
        grad_check(&test.grad);
        grad_close(&test.grad);
    }
}

/* More rows than are held at a time: each row's loss and gradient are those of the row alone. */
static void test_output_in_blocks(void **state)
{
    (void)state;
    enum { N = 2 * OUTPUT_BLOCK_ROWS + 3 };
    struct output_test test;
    open_output(&test, N, false);
    struct fixture *fixture = &test.grad.fixture;
    const struct tensor *x = &test.grad.inputs[0].value, *d_x = &test.grad.inputs[0].grad;
    const struct tensor loss = tensor_1d(&fixture->arena, fixture->backend.real, N);
    const struct tensor nll = tensor_like(&fixture->arena, &loss);
    output_loss(&test.output, &fixture->pass, &loss, &nll, x, &test.targets, 0.1, 1, d_x);
    for (int64_t n = 0; n < N; n++) {
        const struct pass_mark mark = pass_mark(&fixture->pass);
        const struct tensor row = tensor_slice(x, n, 1);
        const struct tensor d_row = tensor_like(&fixture->arena, &row);
        const struct tensor target = tensor_slice(&test.targets, n, 1);
        const struct tensor row_loss = tensor_1d(&fixture->arena, fixture->backend.real, 1);
        const struct tensor row_nll = tensor_1d(&fixture->arena, fixture->backend.real, 1);
        output_loss(&test.output, &fixture->pass, &row_loss, &row_nll, &row, &target, 0.1, 1,
                    &d_row);
        assert_true(fixture_get(fixture, &loss, n) == fixture_get(fixture, &row_loss, 0));
        assert_true(fixture_get(fixture, &nll, n) == fixture_get(fixture, &row_nll, 0));
        for (int64_t i = 0; i < row.dim[1]; i++)
            assert_true(fixture_get(fixture, d_x, n * row.dim[1] + i) ==
                        fixture_get(fixture, &d_row, i));
        pass_release(&fixture->pass, mark);
    }
    grad_close(&test.grad);
    open_output(&test, N, true);
    grad_check_direction(&test.grad);
    grad_close(&test.grad);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_embedding),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_lstm),
        cmocka_unit_test(test_lstm_by_step),
        cmocka_unit_test(test_lstm_state),
        cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_output),
        cmocka_unit_test(test_output_in_blocks),
    };
    return grad_main(argc, argv, "grad_layer", tests, sizeof tests / sizeof *tests);
}
