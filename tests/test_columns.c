/* Scores of all ranks' tokens, where ranks are threads: the mask that they find together, against
 * plain loops over the whole batch.
 *
 * Usage: test_columns BACKEND. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "layer/sequence.h"
#include "moe/columns.h"
#include "tests/crew.h"
#include "tests/fixture.h"

static const char *backend;

enum { N_STEPS = 6, MAX_SENTENCES = 9, MAX_EXPERTS = 7, MAX_GROUPS = 3, TOP_K = 2 };

/* Sentences of up to N_STEPS tokens, dealt to the ranks like cards; a token is in some groups. */
struct text {
    int n_sentences, n_experts, n_groups;
    int n_wrong[CREW_MAX_RANKS];
};

static int length_of(int sentence)
{
    return 1 + sentence * 5 % N_STEPS;
}

static bool is_in_group(const struct text *text, int t, int sentence, int g)
{
    return text->n_groups == 1 || (t + sentence * 3) % text->n_groups != g;
}

/* Few different ones, so that most tie. */
static double score_of(int t, int sentence, int expert)
{
    return (t * 7 + sentence * 5 + expert * 3) % 4 * 0.25;
}

/* How many tokens of a group come before this one, of larger scores or in earlier rows; all where
 * its step is N_STEPS. */
static int tokens_before(const struct text *text, int g, int t, int sentence, int expert)
{
    int before = 0;
    for (int u = 0; u < N_STEPS; u++)
        for (int s = 0; s < text->n_sentences; s++) {
            if (u >= length_of(s) || !is_in_group(text, u, s, g))
                continue;
            const bool is_earlier = u < t || (u == t && s < sentence);
            const double other = score_of(u, s, expert), own = score_of(t, sentence, expert);
            before += t == N_STEPS || other > own || (other == own && is_earlier);
        }
    return before;
}

static bool is_chosen(const struct text *text, int g, int t, int sentence, int expert)
{
    const int n = tokens_before(text, g, N_STEPS, 0, 0), n_experts = text->n_experts;
    const int m = (2 * TOP_K * n + n_experts) / (2 * n_experts);
    return tokens_before(text, g, t, sentence, expert) < (m < 1 ? 1 : m);
}

/* This rank's tokens, by group and in each time-major. */
struct tokens {
    int32_t names[MAX_GROUPS * N_STEPS * MAX_SENTENCES];
    double scores[MAX_GROUPS * N_STEPS * MAX_SENTENCES * MAX_EXPERTS];
    int32_t wanted[MAX_GROUPS * N_STEPS * MAX_SENTENCES * MAX_EXPERTS];
    int32_t starts[MAX_GROUPS + 1];
    int count;
};

static void list_tokens(const struct text *text, const struct comm *comm, struct tokens *tokens)
{
    tokens->count = 0;
    for (int g = 0; g < text->n_groups; g++) {
        tokens->starts[g] = tokens->count;
        for (int t = 0; t < N_STEPS; t++)
            for (int s = comm->rank; s < text->n_sentences; s += comm->size) {
                if (t >= length_of(s) || !is_in_group(text, t, s, g))
                    continue;
                for (int e = 0; e < text->n_experts; e++) {
                    const int i = tokens->count * text->n_experts + e;
                    tokens->scores[i] = score_of(t, s, e);
                    tokens->wanted[i] = is_chosen(text, g, t, s, e);
                }
                tokens->names[tokens->count++] = sequence_name(s, t);
            }
    }
    tokens->starts[text->n_groups] = tokens->count;
}

static void choose_together(struct comm *comm, void *context)
{
    struct text *text = context;
    struct tokens tokens;
    struct fixture fixture;
    struct columns columns;
    char device[32];
    backend_device_of(backend, comm->rank, device, sizeof device);
    fixture_open(&fixture, device);
    fixture.pass.comm = comm;
    list_tokens(text, comm, &tokens);
    const struct tensor scores = fixture_random_2d(&fixture, tokens.count, text->n_experts, 1);
    fixture_write(&fixture, &scores, tokens.scores);
    const struct tensor names = fixture_ints(&fixture, tokens.names, tokens.count);
    const struct tensor groups = fixture_ints(&fixture, tokens.starts, text->n_groups + 1);
    columns_open(&columns, &fixture.pass, tokens.count, text->n_experts, &names,
                 text->n_groups > 1 ? &groups : NULL);
    const struct tensor here = columns_out(&columns, &fixture.pass, &scores);
    const struct tensor mask = tensor_2d(&fixture.arena, DTYPE_I32, here.dim[0], here.dim[1]);
    fixture.backend.ops->balanced_mask(&fixture.backend, &mask, &here,
                                       tensor_or_null(&columns.groups), TOP_K, text->n_experts);
    const struct tensor marks = tensor_2d(&fixture.arena, DTYPE_I32, tokens.count, text->n_experts);
    columns_back(&columns, &fixture.pass, &marks, &mask);
    const int32_t *found = fixture_read_ints(&fixture, &marks);
    text->n_wrong[comm->rank] = 0;
    for (int i = 0; i < tokens.count * text->n_experts; i++)
        text->n_wrong[comm->rank] += found[i] != tokens.wanted[i];
    fixture_close(&fixture);
}

/* With fewer sentences than ranks some have no token, with fewer experts some have no column. */
static void test_masks(void **state)
{
    (void)state;
    static const int shapes[][3] = {{9, 7, 1}, {9, 7, 3}, {2, 5, 1}, {2, 5, 3}, {4, 3, 2}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int size = 1; size <= 5; size++) {
            struct text text = {
                .n_sentences = shapes[i][0], .n_experts = shapes[i][1], .n_groups = shapes[i][2]};
            crew_run(size, choose_together, &text);
            for (int r = 0; r < size; r++)
                if (text.n_wrong[r] > 0)
                    fail_msg("%d sentences, %d experts, %d groups: %d numbers of rank %d of %d",
                             text.n_sentences, text.n_experts, text.n_groups, text.n_wrong[r], r,
                             size);
        }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: test_columns BACKEND\n");
        return 2;
    }
    backend = argv[1];
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_masks)};
    return cmocka_run_group_tests_name(backend, tests, NULL, NULL);
}
