/* Gradients whose memory a pass uses until their layer goes backward, against those that nobody
 * borrows: the same numbers, wherever there is room and where there is none.
 *
 * Usage: test_loans BACKEND. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/model.h"
#include "tests/fixture.h"

enum { N_T = 6, N_B = 4, N_ROWS = 15, N_SHARED = 7, N_OWN = 4 };

static const char *backend;
static const int32_t lengths[N_B] = {6, 2, 3, 4};

/* Logits show in the arena where there are many words. */
enum logits { FEW, LENT, NOT_LENT };

/* What a case takes from the gradients' memory. */
struct wanted {
    const char *settings[N_OWN];
    int rooms; /* of the decoder's layers, from the first on */
    enum logits logits;
};

struct side {
    struct fixture fixture;
    struct config config;
    struct model model;
    struct model_record record;
};

static struct side *open_side(const struct wanted *wanted, const char *accumulate)
{
    const char *settings[N_SHARED + N_OWN] = {
        "data.subword.size=23",    "model.dim=8", "model.encoder.hidden=12", "model.dropout=0.3",
        "train.batch_tokens=4000", accumulate,    "model.decoder.hidden=12"};
    size_t n = N_SHARED;
    while (n < N_SHARED + N_OWN && wanted->settings[n - N_SHARED]) {
        settings[n] = wanted->settings[n - N_SHARED];
        n++;
    }
    struct side *side = calloc(1, sizeof *side);
    assert_non_null(side);
    fixture_open(&side->fixture, backend);
    assert_int_equal(config_read(&side->config, NULL, settings, n), STATUS_OK);
    assert_int_equal(model_init(&side->model, &side->fixture.backend, &side->config,
                                side->config.data.subword.size, true),
                     STATUS_OK);
    assert_int_equal(side->model.products.capacity, 0); /* all gradients are stored */
    model_start(&side->model, 3);
    param_list_zero_gradients(&side->model.params);
    side->fixture.pass.dropout = 0.3;
    return side;
}

static void close_side(struct side *side)
{
    model_free(&side->model);
    fixture_close(&side->fixture);
    free(side);
}

static void pass_once(struct side *side)
{
    struct fixture *fixture = &side->fixture;
    const int32_t n_words = (int32_t)side->config.data.subword.size;
    struct model_batch batch = {
        .source = fixture_sequence(fixture, N_T, N_B, lengths, n_words),
        .target = fixture_sequence(fixture, N_T, N_B, lengths, n_words),
    };
    int32_t labels[N_ROWS];
    for (int i = 0; i < N_ROWS; i++)
        labels[i] = fixture_below(fixture, n_words);
    batch.labels = fixture_ints(fixture, labels, N_ROWS);
    model_loss(&side->model, &fixture->pass, &side->record, &batch, 0.1, 0.5, 0.7);
}

static void compare(struct side *alone, struct side *lending, const struct tensor *want,
                    const struct tensor *got, const char *name)
{
    expect_close(name, fixture_values(&lending->fixture, got),
                 fixture_values(&alone->fixture, want), tensor_count(want),
                 strcmp(backend, "ref64") == 0 ? 1e-14 : 1e-5);
}

static bool lies_in(const struct arena *arena, const void *data)
{
    return (const char *)data >= arena->memory && (const char *)data < arena->memory + arena->used;
}

/* What the case says lies in the gradients' memory, and is missing in the pass's arena. That of a
 * GPU comes in blocks and is not lent. */
static void check_places(const struct side *alone, const struct side *lending,
                         const struct wanted *wanted)
{
    const struct arena *gradients = &lending->model.gradients;
    if (gradients->blocks)
        return;
    const int64_t real = (int64_t)dtype_size(lending->fixture.backend.real);
    const int64_t logits = N_ROWS * lending->model.vocabulary * real;
    int64_t missing = (int64_t)(alone->fixture.arena.high_mark - lending->fixture.arena.high_mark);
    for (int l = 0; l < 2; l++) {
        const struct tensor *room = &lending->record.decoder.layers[l].lstm.lstm.room;
        assert_int_equal(lies_in(gradients, room->data), l < wanted->rooms);
        missing -= l < wanted->rooms ? tensor_count(room) * real : 0;
    }
    assert_false(lies_in(gradients, lending->record.encoder.layers[0].forward.lstm.room.data));
    if (wanted->logits != FEW)
        assert_int_equal(missing > logits / 2, wanted->logits == LENT);
}

static void check(const struct wanted *wanted)
{
    struct side *alone = open_side(wanted, "train.accumulate=2");
    struct side *lending = open_side(wanted, "train.accumulate=1");
    assert_int_equal(alone->model.gradients.capacity, 0);
    pass_once(alone);
    pass_once(lending);
    check_places(alone, lending, wanted);
    compare(alone, lending, &alone->record.nll, &lending->record.nll, "losses");
    for (int64_t i = 0; i < alone->model.params.count; i++)
        compare(alone, lending, &alone->model.params.items[i]->grad,
                &lending->model.params.items[i]->grad, alone->model.params.items[i]->name);
    close_side(alone);
    close_side(lending);
}

static void test_all_lend(void **state)
{
    (void)state;
    check(&(struct wanted){
        {"data.subword.size=2000", "model.encoder.hidden=150", "model.moe.after=[]"}, 2, LENT});
    check(&(struct wanted){{NULL}, 2, FEW});
    check(&(struct wanted){{"model.moe.after=[]", "model.tie=[]"}, 2, FEW});
    check(&(struct wanted){{"model.decoder.attention=additive"}, 2, FEW});
}

static void test_some_lend(void **state)
{
    (void)state;
    /* The encoder's gradients are smaller than the rooms of both layers, or of one. */
    check(&(struct wanted){{"model.decoder.hidden=20", "model.moe.after=[]"}, 1, FEW});
    check(&(struct wanted){{"model.decoder.hidden=100", "model.moe.after=[]"}, 0, FEW});
    /* The words' logits are more than all gradients. */
    check(&(struct wanted){{"data.subword.size=9000", "model.moe.after=[]"}, 2, NOT_LENT});
}

static void test_language_model(void **state)
{
    (void)state;
    check(&(struct wanted){{"model.type=lm"}, 0, FEW});
    check(&(struct wanted){{"model.type=lm", "model.encoder.hidden=150", "data.subword.size=2000",
                            "model.moe.after=[]"},
                           0,
                           LENT});
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_lend),
        cmocka_unit_test(test_some_lend),
        cmocka_unit_test(test_language_model),
    };
    if (argc != 2)
        return 2;
    backend = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
