/* Parallel corpora: what is kept, how batches are laid out, and what an epoch plan promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/scratch.h"
#include "text/corpus.h"
#include "text/subword/sentencepiece_train.h"

static struct scratch scratch;
static struct subword *letters; /* every letter is a piece: lengths are easy to work out */

static void train_letters(void)
{
    static const struct subword_text text = {"a b c d e f g h", 15};
    struct subword_train_options options = subword_train_defaults();
    struct buffer model = {0};
    options.texts = &text;
    options.n_texts = 1;
    options.type = "bpe";
    options.size = 13; /* 4 special ones, 8 letters, the mark of a word's start */
    if (subword_train(&options, &model, NULL) < 0 ||
        subword_open_bytes(&letters, model.data, model.size, "letters") < 0) {
        print_error("%s\n", status_message());
        exit(1);
    }
    buffer_free(&model);
}

static enum status load(struct corpus *corpus, const char *source, const char *target,
                        int64_t max_len, int threads)
{
    char source_path[512], target_path[512];
    snprintf(source_path, sizeof source_path, "%s",
             scratch_write(&scratch, "source", source, strlen(source)));
    snprintf(target_path, sizeof target_path, "%s",
             scratch_write(&scratch, "target", target, strlen(target)));
    const char *sources[] = {source_path}, *targets[] = {target_path};
    return corpus_load(corpus, &(struct corpus_options){.sources = sources,
                                                        .targets = targets,
                                                        .n_files = 1,
                                                        .source_subword = letters,
                                                        .target_subword = letters,
                                                        .max_len = max_len,
                                                        .threads = threads});
}

static int32_t id(const char *piece)
{
    const int32_t found = subword_id(letters, piece);
    assert_true(found >= 4);
    return found;
}

#define SPACE "\xE2\x96\x81"

static void pairs_are_kept_or_counted(void **state)
{
    (void)state;
    struct corpus corpus;
    /* "ab" is three pieces (mark, a, b); the limit is 4 */
    assert_int_equal(load(&corpus, "ab\n\nabcd\na\nabc\nb", "c\nx\na\n \nabc\nabcde", 4, 1),
                     STATUS_OK);
    assert_int_equal(corpus.n_pairs, 2);
    assert_int_equal(corpus.report.lines, 6);
    assert_int_equal(corpus.report.empty.count, 2);
    assert_int_equal(corpus.report.empty.first, 2);
    assert_int_equal(corpus.report.too_long.count, 2);
    assert_int_equal(corpus.report.too_long.first, 3);
    /* each pair's source, then its target */
    const int32_t ids[] = {id(SPACE),   id("a"),   id("b"), SUBWORD_EOS, id(SPACE),  id("c"),
                           SUBWORD_EOS, id(SPACE), id("a"), id("b"),     id("c"),    SUBWORD_EOS,
                           id(SPACE),   id("a"),   id("b"), id("c"),     SUBWORD_EOS};
    assert_int_equal(corpus.n_source_ids, 9);
    assert_int_equal(corpus.n_target_ids, 8);
    assert_memory_equal(corpus.ids, ids, sizeof ids);
    static const struct corpus_pair pairs[] = {{0, 4, 3}, {7, 5, 5}};
    assert_memory_equal(corpus.pairs, pairs, sizeof pairs);
    assert_ptr_equal(corpus_source(&corpus, 1), corpus.ids + 7);
    assert_ptr_equal(corpus_target(&corpus, 1), corpus.ids + 12);
    corpus_free(&corpus);
}

/* One text: no pair has a source, the rest is as above. */
static void one_text_is_kept_or_counted(void **state)
{
    (void)state;
    const char *path = scratch_write(&scratch, "text", "ab\n\nabcdef\nc", 12);
    const struct corpus_options options = {
        .targets = &path, .n_files = 1, .target_subword = letters, .max_len = 4, .threads = 1};
    struct corpus corpus;
    assert_int_equal(corpus_load(&corpus, &options), STATUS_OK);
    assert_int_equal(corpus.n_pairs, 2);
    assert_int_equal(corpus.report.lines, 4);
    assert_int_equal(corpus.report.empty.count, 1);
    assert_int_equal(corpus.report.too_long.count, 1);
    const int32_t ids[] = {id(SPACE), id("a"), id("b"),    SUBWORD_EOS,
                           id(SPACE), id("c"), SUBWORD_EOS};
    assert_int_equal(corpus.n_source_ids, 0);
    assert_int_equal(corpus.n_target_ids, 7);
    assert_memory_equal(corpus.ids, ids, sizeof ids);
    static const struct corpus_pair pairs[] = {{0, 0, 4}, {4, 0, 3}};
    assert_memory_equal(corpus.pairs, pairs, sizeof pairs);

    struct epoch_plan plan;
    struct batch batch = {0};
    assert_int_equal(epoch_plan_make(&plan, &corpus, 1, 0, 100), STATUS_OK);
    assert_int_equal(plan.n_batches, 1);
    assert_int_equal(epoch_plan_batch(&plan, &corpus, 0, 0, &batch), STATUS_OK);
    assert_int_equal(batch.n_sentences, 2);
    assert_int_equal(batch.source_length, 0);
    assert_int_equal(batch.n_source_tokens, 0);
    assert_int_equal(batch.target_length, 4);
    assert_int_equal(batch.n_target_tokens, 7);
    batch_free(&batch);
    epoch_plan_free(&plan);
    corpus_free(&corpus);

    path = scratch_write(&scratch, "text", "\nabcdef\n", 8);
    assert_int_equal(corpus_load(&corpus, &options), STATUS_DATA);
    assert_non_null(strstr(status_message(), "2 lines, 1 empty, 1 longer than 4 pieces"));
}

/* Sources of a file begin with its prefix, whose piece does not count for max_len. */
static void prefixes_are_put_before_sources(void **state)
{
    (void)state;
    char first[512], second[512];
    snprintf(first, sizeof first, "%s", scratch_write(&scratch, "first", "ab\n\n", 4));
    snprintf(second, sizeof second, "%s", scratch_write(&scratch, "second", "c\n", 2));
    const char *sources[] = {first, second}, *targets[] = {first, second};
    const int32_t prefixes[] = {9, -1};
    const struct corpus_options options = {.sources = sources,
                                           .targets = targets,
                                           .n_files = 2,
                                           .prefixes = prefixes,
                                           .source_subword = letters,
                                           .target_subword = letters,
                                           .max_len = 3,
                                           .threads = 1};
    struct corpus corpus;
    assert_int_equal(corpus_load(&corpus, &options), STATUS_OK);
    const int32_t ids[] = {9,         id(SPACE),   id("a"),   id("b"),     SUBWORD_EOS,
                           id(SPACE), id("a"),     id("b"),   SUBWORD_EOS, id(SPACE),
                           id("c"),   SUBWORD_EOS, id(SPACE), id("c"),     SUBWORD_EOS};
    static const struct corpus_pair pairs[] = {{0, 5, 4}, {9, 3, 3}};
    assert_int_equal(corpus.n_pairs, 2);
    assert_int_equal(corpus.report.empty.count, 1);
    assert_memory_equal(corpus.pairs, pairs, sizeof pairs);
    assert_memory_equal(corpus.ids, ids, sizeof ids);
    corpus_free(&corpus);
}

static void unequal_files_are_refused(void **state)
{
    (void)state;
    struct corpus corpus;
    assert_int_equal(load(&corpus, "a\nb\nc\nd\ne\n", "a\nb\n", 10, 1), STATUS_DATA);
    assert_non_null(strstr(status_message(), "source has 5 lines but "));
    assert_non_null(strstr(status_message(), "target has 2"));
    assert_non_null(strstr(status_hint_text(), "line-parallel"));
    assert_int_equal(corpus.n_pairs, 0);
    assert_int_equal(load(&corpus, "a\n", "a\nb\nc", 10, 1), STATUS_DATA);
    assert_non_null(strstr(status_message(), "source has 1 lines but "));
    assert_non_null(strstr(status_message(), "target has 3"));
    assert_int_equal(load(&corpus, "", "", 10, 1), STATUS_DATA);
    assert_int_equal(load(&corpus, "\n\n", "a\nb\n", 10, 1), STATUS_DATA);
    assert_non_null(strstr(status_message(), "2 with an empty side"));
}

static void repairs_are_told(void **state)
{
    (void)state;
    struct corpus corpus;
    assert_int_equal(load(&corpus, "a\nbz\xFF\n", "a\nb\n", 10, 1), STATUS_OK);
    assert_non_null(strstr(corpus.report.repairs.data, "source: invalid UTF-8 in 1 line"));
    assert_int_equal(corpus.report.source_unknown, 1);
    assert_int_equal(corpus.report.target_unknown, 0);
    corpus_free(&corpus);
}

/* Two columns, 2 and 1 source places, worked by hand. */
static void batch_layout(void **state)
{
    (void)state;
    const int32_t source0[] = {5, 6, 3}, target0[] = {7, 3};
    const int32_t source1[] = {8, 3}, target1[] = {9, 10, 3};
    struct batch batch = {0};
    for (int round = 0; round < 2; round++) { /* the second filling must not see the first */
        batch_start(&batch);
        assert_int_equal(batch_add(&batch, source0, 3, target0, 2), STATUS_OK);
        assert_int_equal(batch_add(&batch, source1, 2, target1, 3), STATUS_OK);
        assert_int_equal(batch_finish(&batch, 2, 40), STATUS_OK);
        const int32_t source[] = {5, 8, 6, 3, 3, 0};
        const int32_t target_in[] = {2, 2, 7, 9, 0, 10};
        const int32_t target_out[] = {7, 9, 3, 10, -1, 3};
        const int32_t source_rows[] = {0, 1, 2, 3, 4}, target_rows[] = {0, 1, 2, 3, 5};
        const int32_t sentences[] = {40, 41};
        assert_int_equal(batch.n_sentences, 2);
        assert_int_equal(batch.source_length, 3);
        assert_int_equal(batch.target_length, 3);
        assert_int_equal(batch.n_source_tokens, 5);
        assert_int_equal(batch.n_target_tokens, 5);
        assert_memory_equal(batch.source, source, sizeof source);
        assert_memory_equal(batch.target_in, target_in, sizeof target_in);
        assert_memory_equal(batch.target_out, target_out, sizeof target_out);
        assert_memory_equal(batch.source_rows, source_rows, sizeof source_rows);
        assert_memory_equal(batch.target_rows, target_rows, sizeof target_rows);
        assert_memory_equal(batch.sentences, sentences, sizeof sentences);
        assert_int_equal(batch.source_lengths[0], 3);
        assert_int_equal(batch.target_lengths[1], 3);
    }
    batch_start(&batch);
    assert_int_equal(batch_add(&batch, source1, 2, NULL, 0), STATUS_OK);
    assert_int_equal(batch_finish(&batch, 2, 0), STATUS_OK);
    assert_int_equal(batch.target_length, 0);
    assert_int_equal(batch.n_target_tokens, 0);
    assert_int_equal(batch.source[0], 8);
    batch_free(&batch);
}

/* n pairs of random lengths 1..20. */
static void load_random(struct corpus *corpus, uint32_t n, int threads)
{
    struct buffer sides[2] = {{0}, {0}};
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t side = 0; side < 2; side++) {
            const struct random_words words = random_philox((struct random_key){3, 0, 0}, i, side);
            for (uint32_t j = 0; j <= words.word[0] % 20; j++)
                assert_int_equal(
                    buffer_printf(&sides[side], "%c", 'a' + (int)((words.word[1] >> j) % 8)),
                    STATUS_OK);
            assert_int_equal(buffer_append_string(&sides[side], "\n"), STATUS_OK);
        }
    assert_int_equal(load(corpus, sides[0].data, sides[1].data, 30, threads), STATUS_OK);
    assert_int_equal(corpus->n_pairs, n);
    buffer_free(&sides[0]);
    buffer_free(&sides[1]);
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    enum { N_PAIRS = 9000 }; /* more than one chunk */
    struct corpus one, three;
    load_random(&one, N_PAIRS, 1);
    load_random(&three, N_PAIRS, 3);
    assert_int_equal(one.n_source_ids, three.n_source_ids);
    assert_int_equal(one.n_target_ids, three.n_target_ids);
    assert_memory_equal(one.ids, three.ids,
                        (size_t)(one.n_source_ids + one.n_target_ids) * sizeof *one.ids);
    assert_memory_equal(one.pairs, three.pairs, N_PAIRS * sizeof *one.pairs);
    assert_true(one.text_hash == three.text_hash);
    corpus_free(&one);
    corpus_free(&three);
}

static void plan_keeps_its_promises(void **state)
{
    (void)state;
    enum { N_PAIRS = 2000, MAX_TOKENS = 200 };
    struct corpus corpus;
    load_random(&corpus, N_PAIRS, 1);
    struct epoch_plan plan;
    assert_int_equal(epoch_plan_make(&plan, &corpus, 5, 1, MAX_TOKENS), STATUS_OK);
    char seen[N_PAIRS] = {0};
    int64_t places = 0, real = 0, rising = 0, last_length = 0;
    assert_int_equal(plan.starts[0], 0);
    assert_int_equal(plan.starts[plan.n_batches], N_PAIRS);
    for (int64_t i = 0; i < plan.n_batches; i++) {
        int64_t longest_source = 0, longest_target = 0, previous = INT64_MAX;
        const int64_t n = plan.starts[i + 1] - plan.starts[i];
        assert_true(n >= 1);
        for (int64_t j = plan.starts[i]; j < plan.starts[i + 1]; j++) {
            const int32_t pair = plan.pairs[j];
            const int64_t source = corpus.pairs[pair].source_length;
            const int64_t target = corpus.pairs[pair].target_length;
            assert_int_equal(seen[pair]++, 0);
            assert_true(source <= previous);
            previous = source;
            longest_source = source > longest_source ? source : longest_source;
            longest_target = target > longest_target ? target : longest_target;
            real += source + target;
        }
        const int64_t longest = longest_source > longest_target ? longest_source : longest_target;
        assert_true(n == 1 || longest * n <= MAX_TOKENS);
        places += (longest_source + longest_target) * n;
        rising += longest >= last_length;
        last_length = longest;
    }
    assert_true(real * 20 > places * 19);         /* sorting by both lengths works */
    assert_true(rising < plan.n_batches * 3 / 4); /* and the batches are shuffled again */
    epoch_plan_free(&plan);
    corpus_free(&corpus);
}

static bool same_plan(const struct epoch_plan *left, const struct epoch_plan *right, int64_t n)
{
    return left->n_batches == right->n_batches &&
           memcmp(left->pairs, right->pairs, (size_t)n * sizeof *left->pairs) == 0 &&
           memcmp(left->starts, right->starts,
                  ((size_t)left->n_batches + 1) * sizeof *left->starts) == 0;
}

static void plan_is_a_pure_function(void **state)
{
    (void)state;
    enum { N_PAIRS = 500 };
    struct corpus corpus;
    load_random(&corpus, N_PAIRS, 1);
    struct epoch_plan first, again, next, other;
    assert_int_equal(epoch_plan_make(&first, &corpus, 5, 1, 200), STATUS_OK);
    assert_int_equal(epoch_plan_make(&again, &corpus, 5, 1, 200), STATUS_OK);
    assert_int_equal(epoch_plan_make(&next, &corpus, 5, 2, 200), STATUS_OK);
    assert_int_equal(epoch_plan_make(&other, &corpus, 6, 1, 200), STATUS_OK);
    assert_true(same_plan(&first, &again, N_PAIRS));
    assert_false(same_plan(&first, &next, N_PAIRS));
    assert_false(same_plan(&first, &other, N_PAIRS));
    epoch_plan_free(&first);
    epoch_plan_free(&again);
    epoch_plan_free(&next);
    epoch_plan_free(&other);
    corpus_free(&corpus);
}

/* Batches of one pair where nothing more fits, and the ids of the corpus in their places. */
static void batches_hold_their_pairs(void **state)
{
    (void)state;
    struct corpus corpus;
    load_random(&corpus, 50, 1);
    struct epoch_plan plan;
    struct batch batch = {0};
    assert_int_equal(epoch_plan_make(&plan, &corpus, 5, 0, 1), STATUS_OK);
    assert_int_equal(plan.n_batches, 50);
    epoch_plan_free(&plan);
    assert_int_equal(epoch_plan_make(&plan, &corpus, 5, 0, 120), STATUS_OK);
    int64_t sentence = 0;
    for (int64_t i = 0; i < plan.n_batches; i++) {
        assert_int_equal(epoch_plan_batch(&plan, &corpus, i, sentence, &batch), STATUS_OK);
        assert_int_equal(batch.n_sentences, plan.starts[i + 1] - plan.starts[i]);
        for (int64_t b = 0; b < batch.n_sentences; b++) {
            const int32_t pair = plan.pairs[plan.starts[i] + b];
            assert_int_equal(batch.sentences[b], sentence + b);
            assert_int_equal(batch.source_lengths[b], corpus.pairs[pair].source_length);
            for (int64_t s = 0; s < batch.source_lengths[b]; s++)
                assert_int_equal(batch.source[s * batch.n_sentences + b],
                                 corpus_source(&corpus, pair)[s]);
            assert_int_equal(batch.target_in[b], SUBWORD_BOS);
            for (int64_t t = 0; t < batch.target_lengths[b]; t++)
                assert_int_equal(batch.target_out[t * batch.n_sentences + b],
                                 corpus_target(&corpus, pair)[t]);
        }
        sentence += batch.n_sentences;
    }
    assert_int_equal(sentence, 50);
    batch_free(&batch);
    epoch_plan_free(&plan);
    corpus_free(&corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_kept_or_counted),
        cmocka_unit_test(one_text_is_kept_or_counted),
        cmocka_unit_test(prefixes_are_put_before_sources),
        cmocka_unit_test(unequal_files_are_refused),
        cmocka_unit_test(repairs_are_told),
        cmocka_unit_test(batch_layout),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(plan_keeps_its_promises),
        cmocka_unit_test(plan_is_a_pure_function),
        cmocka_unit_test(batches_hold_their_pairs),
    };
    scratch_open(&scratch);
    train_letters();
    const int failures = cmocka_run_group_tests(tests, NULL, NULL);
    subword_free(letters);
    scratch_close(&scratch);
    return failures;
}
