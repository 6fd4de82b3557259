/* The subword models: against the library's own command line tool, against brute force, and
 * against damaged files. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/scratch.h"
#include "text/subword/sentencepiece_train.h"

enum { N_LINES = 400, LINE_BYTES = 160 };

static struct scratch scratch;
static char corpus[N_LINES][LINE_BYTES]; /* made-up words, some of them with other letters */
static struct subword_text texts[N_LINES];

static uint32_t roll(uint32_t line, uint32_t number, uint32_t bound)
{
    return random_philox((struct random_key){1, 2, 3}, line, number).word[0] % bound;
}

static void make_corpus(void)
{
    static const char *const syllables[] = {"ba", "lo", "mi",       "tur",      "en",
                                            "s",  "ka", "\xC3\xA4", "\xC3\xB6", "ri"};
    for (uint32_t i = 0; i < N_LINES; i++) {
        size_t used = 0;
        for (uint32_t word = 0; word < 6; word++) {
            /* few distinct words, so that there is something to merge */
            const uint32_t kind = roll(i, word, 60);
            for (uint32_t part = 0; part < 1 + kind % 4; part++)
                used += (size_t)snprintf(corpus[i] + used, LINE_BYTES - used, "%s",
                                         syllables[roll(1000 + kind, part, 10)]);
            used += (size_t)snprintf(corpus[i] + used, LINE_BYTES - used, word < 5 ? " " : ".");
        }
        texts[i] = (struct subword_text){corpus[i], used};
    }
}

static struct subword_train_options options_for(const char *type, int64_t size)
{
    struct subword_train_options options = subword_train_defaults();
    options.texts = texts;
    options.n_texts = N_LINES;
    options.type = type;
    options.size = size;
    return options;
}

static struct subword *train_model(const struct subword_train_options *options)
{
    struct buffer model = {0};
    struct subword *subword = NULL;
    const enum status status = subword_train(options, &model, NULL);
    if (status < 0)
        print_error("%s\n", status_message());
    assert_int_equal(status, STATUS_OK);
    assert_int_equal(subword_open_bytes(&subword, model.data, model.size, "model"), STATUS_OK);
    buffer_free(&model);
    return subword;
}

static struct subword *train_type(const char *type, int64_t size)
{
    const struct subword_train_options options = options_for(type, size);
    return train_model(&options);
}

static void same_input_same_bytes(void **state)
{
    (void)state;
    for (int is_bpe = 0; is_bpe < 2; is_bpe++) {
        struct subword_train_options options = options_for(is_bpe ? "bpe" : "unigram", 60);
        options.sample_lines = 300;
        struct buffer first = {0}, second = {0};
        struct subword_train_report report;
        assert_int_equal(subword_train(&options, &first, &report), STATUS_OK);
        assert_int_equal(subword_train(&options, &second, NULL), STATUS_OK);
        assert_int_equal(first.size, second.size);
        assert_memory_equal(first.data, second.data, first.size);
        assert_int_equal(report.lines, N_LINES);
        assert_int_equal(report.sampled, 300);
        buffer_free(&first);
        buffer_free(&second);
    }
}

static void special_ids_are_fixed(void **state)
{
    (void)state;
    struct subword *subword = train_type("unigram", 60);
    assert_int_equal(subword_size(subword), 60);
    assert_int_equal(subword_pad_id(subword), SUBWORD_PAD);
    assert_int_equal(subword_unknown_id(subword), SUBWORD_UNKNOWN);
    assert_int_equal(subword_bos_id(subword), SUBWORD_BOS);
    assert_int_equal(subword_eos_id(subword), SUBWORD_EOS);
    for (int32_t id = 0; id < 60; id++)
        assert_int_equal(subword_id(subword, subword_piece(subword, id)), id);
    assert_int_equal(subword_id(subword, "no such piece"), -1);
    subword_free(subword);
}

static void text_survives_the_round_trip(void **state)
{
    (void)state;
    for (int is_bpe = 0; is_bpe < 2; is_bpe++) {
        struct subword *subword = train_type(is_bpe ? "bpe" : "unigram", 60);
        struct ids ids = {0};
        struct buffer text = {0}, pieces = {0};
        for (size_t i = 0; i < N_LINES; i++) {
            ids_clear(&ids);
            buffer_clear(&text);
            assert_int_equal(subword_encode(subword, texts[i].bytes, texts[i].size, &ids),
                             STATUS_OK);
            assert_int_equal(subword_decode(subword, ids.data, ids.size, &text), STATUS_OK);
            assert_string_equal(text.data, corpus[i]);
            buffer_clear(&text);
            buffer_clear(&pieces);
            assert_int_equal(subword_encode_pieces(subword, texts[i].bytes, texts[i].size, &pieces),
                             STATUS_OK);
            assert_int_equal(subword_decode_pieces(subword, pieces.data, pieces.size, &text),
                             STATUS_OK);
            assert_string_equal(text.data, corpus[i]);
        }
        ids_free(&ids);
        buffer_free(&text);
        buffer_free(&pieces);
        subword_free(subword);
    }
}

static void odd_texts(void **state)
{
    (void)state;
    struct subword *subword = train_type("bpe", 60);
    struct ids ids = {0};
    struct buffer text = {0};
    assert_int_equal(subword_encode(subword, "", 0, &ids), STATUS_OK);
    assert_int_equal(subword_encode(subword, "  \t ", 4, &ids), STATUS_OK);
    assert_int_equal(ids.size, 0);
    /* three unknown letters in a row are one unknown piece */
    assert_int_equal(subword_encode(subword, "ba xyz ba", 9, &ids), STATUS_OK);
    assert_int_equal(subword_decode(subword, ids.data, ids.size, &text), STATUS_OK);
    assert_string_equal(text.data, "ba  \xE2\x81\x87  ba");
    assert_int_equal(subword_encode(subword, "\xFF\0\xC3", 3, &ids), STATUS_OK);
    const int32_t beyond[] = {SUBWORD_EOS, 60};
    buffer_clear(&text);
    assert_int_equal(subword_decode(subword, beyond, 2, &text), STATUS_DATA);
    assert_int_equal(text.size, 0);
    ids_free(&ids);
    buffer_free(&text);
    subword_free(subword);
}

static void bytes_stand_for_unknown_letters(void **state)
{
    (void)state;
    struct subword_train_options options = options_for("bpe", 320);
    options.byte_fallback = true;
    struct subword *subword = train_model(&options);
    const char line[] = "ba \xE6\x97\xA5 Q";
    struct ids ids = {0};
    struct buffer text = {0};
    assert_int_equal(subword_encode(subword, line, strlen(line), &ids), STATUS_OK);
    for (size_t i = 0; i < ids.size; i++)
        assert_int_not_equal(ids.data[i], SUBWORD_UNKNOWN);
    assert_int_equal(subword_decode(subword, ids.data, ids.size, &text), STATUS_OK);
    assert_string_equal(text.data, line);
    /* a model may spell a line feed in bytes; the output stays one line */
    const int32_t line_end[] = {subword_id(subword, "<0x0A>"), subword_id(subword, "<0x0D>"),
                                subword_id(subword, "<0x00>")};
    buffer_clear(&text);
    assert_int_equal(subword_decode(subword, line_end, 3, &text), STATUS_OK);
    assert_null(memchr(text.data, '\n', text.size));
    assert_non_null(memchr(text.data, '\r', text.size));
    assert_null(memchr(text.data, '\0', text.size));
    ids_free(&ids);
    buffer_free(&text);
    subword_free(subword);
}

static void size_limits_are_named(void **state)
{
    (void)state;
    for (int is_bpe = 0; is_bpe < 2; is_bpe++) {
        struct subword_train_options options = options_for(is_bpe ? "bpe" : "unigram", 100000);
        struct buffer model = {0};
        assert_int_equal(subword_train(&options, &model, NULL), STATUS_CONFIG);
        const char *number = strstr(status_message(), "the largest allowed is ");
        assert_non_null(number);
        assert_non_null(strstr(status_hint_text(), "or less"));
        options.size = strtol(number + strlen("the largest allowed is "), NULL, 10);
        assert_int_equal(subword_train(&options, &model, NULL), STATUS_OK);
        options.size = 6;
        assert_int_equal(subword_train(&options, &model, NULL), STATUS_CONFIG);
        number = strstr(status_message(), "the smallest allowed is ");
        assert_non_null(number);
        buffer_free(&model);
    }
}

static void wrong_options_are_named(void **state)
{
    (void)state;
    struct buffer model = {0};
    struct subword_train_options options = options_for("wordpiece", 60);
    assert_int_equal(subword_train(&options, &model, NULL), STATUS_CONFIG);
    assert_non_null(strstr(status_message(), "wordpiece"));
    options = options_for("bpe", 60);
    options.normalize = "lower";
    assert_int_equal(subword_train(&options, &model, NULL), STATUS_CONFIG);
    assert_non_null(strstr(status_message(), "lower"));
    const struct subword_text blank = {"   ", 3};
    options = options_for("bpe", 60);
    options.texts = &blank;
    options.n_texts = 1;
    assert_int_equal(subword_train(&options, &model, NULL), STATUS_DATA);
    options.n_texts = 0;
    const char *path = scratch_path(&scratch, "none");
    options.paths = &path;
    options.n_paths = 1;
    assert_int_equal(subword_train(&options, &model, NULL), STATUS_IO);
    assert_int_equal(model.size, 0);
}

/* Probability of every segmentation of a text, by trying all of them. */
struct brute_force {
    const struct subword *subword;
    double alpha;
    struct {
        struct ids ids;
        double weight;
        int drawn;
    } found[512];
    size_t n_found;
    double sum;
};

static void try_all(struct brute_force *brute, const char *text, const int32_t *ids, size_t n,
                    double score)
{
    if (!*text) {
        assert_in_range(brute->n_found, 0, 511);
        assert_int_equal(ids_append(&brute->found[brute->n_found].ids, ids, n), STATUS_OK);
        brute->found[brute->n_found++].weight = exp(brute->alpha * score);
        brute->sum += exp(brute->alpha * score);
        return;
    }
    int32_t longer[64];
    assert_in_range(n, 0, 62);
    memcpy(longer, ids, n * sizeof *ids);
    for (int32_t id = 4; id < subword_size(brute->subword); id++) {
        const char *piece = subword_piece(brute->subword, id);
        if (strncmp(text, piece, strlen(piece)) != 0)
            continue;
        longer[n] = id;
        try_all(brute, text + strlen(piece), longer, n + 1,
                score + (double)subword_score(brute->subword, id));
    }
}

static int draw_counts(struct brute_force *brute, const struct ids *ids)
{
    for (size_t i = 0; i < brute->n_found; i++)
        if (brute->found[i].ids.size == ids->size &&
            memcmp(brute->found[i].ids.data, ids->data, ids->size * sizeof *ids->data) == 0)
            return ++brute->found[i].drawn;
    return 0;
}

/* 20,000 draws: each segmentation within 5 standard deviations of its probability. */
static void unigram_sampling_has_the_right_odds(void **state)
{
    (void)state;
    enum { N_DRAWS = 20000 };
    const char text[] = "tur\xC3\xA4lo mirien";
    struct brute_force brute = {.subword = train_type("unigram", 45), .alpha = 0.3};
    const int32_t none = 0;
    try_all(&brute, "\xE2\x96\x81tur\xC3\xA4lo\xE2\x96\x81mirien", &none, 0, 0);
    assert_in_range(brute.n_found, 5, 511);
    struct ids ids = {0};
    for (uint64_t seed = 0; seed < N_DRAWS; seed++) {
        ids_clear(&ids);
        assert_int_equal(
            subword_sample(brute.subword, text, strlen(text), brute.alpha, -1, seed, &ids),
            STATUS_OK);
        assert_true(draw_counts(&brute, &ids) > 0);
    }
    for (size_t i = 0; i < brute.n_found; i++) {
        const double share = brute.found[i].weight / brute.sum;
        const double deviation = sqrt(N_DRAWS * share * (1 - share)) + 1;
        const double difference = brute.found[i].drawn - N_DRAWS * share;
        if (fabs(difference) > 5 * deviation)
            fail_msg("segmentation %zu: %d draws, expected %g", i, brute.found[i].drawn,
                     N_DRAWS * share);
        ids_free(&brute.found[i].ids);
    }
    ids_free(&ids);
    struct subword *subword = (struct subword *)(uintptr_t)brute.subword;
    subword_free(subword);
}

static void n_best_draws_among_the_best(void **state)
{
    (void)state;
    struct subword *subword = train_type("unigram", 45);
    const char text[] = "tur\xC3\xA4lo mirien";
    struct ids first = {0}, ids = {0};
    int n_first = 0;
    assert_int_equal(subword_encode(subword, text, strlen(text), &first), STATUS_OK);
    /* two candidates with alpha 0: each half of the time */
    for (uint64_t seed = 0; seed < 1000; seed++) {
        ids_clear(&ids);
        assert_int_equal(subword_sample(subword, text, strlen(text), 0, 2, seed, &ids), STATUS_OK);
        n_first += ids.size == first.size &&
                   memcmp(ids.data, first.data, ids.size * sizeof *ids.data) == 0;
    }
    assert_in_range(n_first, 420, 580);
    ids_free(&first);
    ids_free(&ids);
    subword_free(subword);
}

static void same_ids(const struct ids *left, const struct ids *right)
{
    assert_int_equal(left->size, right->size);
    if (left->size)
        assert_memory_equal(left->data, right->data, left->size * sizeof *left->data);
}

/* Sampling with no freedom left is the library's own segmentation; seeds repeat; text is kept. */
static void sampling_agrees_at_its_limits(void **state)
{
    (void)state;
    for (int is_bpe = 0; is_bpe < 2; is_bpe++) {
        struct subword_train_options options = options_for(is_bpe ? "bpe" : "unigram", 320);
        options.byte_fallback = true;
        if (!is_bpe)
            options.size = 300;
        struct subword *subword = train_model(&options);
        struct ids best = {0}, drawn = {0}, again = {0};
        struct buffer text = {0};
        for (size_t i = 0; i < N_LINES; i++) {
            char line[LINE_BYTES + 16];
            const int size = snprintf(line, sizeof line, "%s \xE6\x97\xA5w", corpus[i]);
            ids_clear(&best);
            ids_clear(&drawn);
            assert_int_equal(subword_encode(subword, line, (size_t)size, &best), STATUS_OK);
            assert_int_equal(
                subword_sample(subword, line, (size_t)size, is_bpe ? 0 : 100, -1, i, &drawn),
                STATUS_OK);
            if (is_bpe)
                same_ids(&drawn, &best);
            ids_clear(&drawn);
            ids_clear(&again);
            buffer_clear(&text);
            assert_int_equal(subword_sample(subword, line, (size_t)size, 0.3, -1, i, &drawn),
                             STATUS_OK);
            assert_int_equal(subword_sample(subword, line, (size_t)size, 0.3, -1, i, &again),
                             STATUS_OK);
            same_ids(&drawn, &again);
            assert_int_equal(subword_decode(subword, drawn.data, drawn.size, &text), STATUS_OK);
            assert_string_equal(text.data, line);
        }
        ids_free(&best);
        ids_free(&drawn);
        ids_free(&again);
        buffer_free(&text);
        subword_free(subword);
    }
}

/* With all merges left out a text falls into characters. */
static void bpe_without_merges_is_characters(void **state)
{
    (void)state;
    struct subword *subword = train_type("bpe", 60);
    struct ids ids = {0};
    assert_int_equal(subword_sample(subword, "lo s\xC3\xA4", 6, 1, -1, 5, &ids), STATUS_OK);
    static const char *const characters[] = {"\xE2\x96\x81", "l", "o",
                                             "\xE2\x96\x81", "s", "\xC3\xA4"};
    assert_int_equal(ids.size, 6);
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(subword_piece(subword, ids.data[i]), characters[i]);
    ids_free(&ids);
    subword_free(subword);
}

static void equals_spm_encode(void **state)
{
    (void)state;
    if (system("command -v spm_encode > /dev/null 2>&1") != 0) {
        print_message("skipped: spm_encode is not installed\n");
        skip();
    }
    for (int is_bpe = 0; is_bpe < 2; is_bpe++) {
        struct subword *subword = train_type(is_bpe ? "bpe" : "unigram", 60);
        const struct subword_text model = subword_serialized(subword);
        struct buffer ours = {0}, theirs = {0}, text = {0};
        for (size_t i = 0; i < N_LINES; i++) {
            assert_int_equal(buffer_printf(&text, "%s \xF0\x9F\x98\x80 (%zu)\n", corpus[i], i),
                             STATUS_OK);
            struct buffer line = {0};
            assert_int_equal(buffer_printf(&line, "%s \xF0\x9F\x98\x80 (%zu)", corpus[i], i),
                             STATUS_OK);
            assert_int_equal(subword_encode_pieces(subword, line.data, line.size, &ours),
                             STATUS_OK);
            assert_int_equal(buffer_append_string(&ours, "\n"), STATUS_OK);
            buffer_free(&line);
        }
        scratch_write(&scratch, "spm.model", model.bytes, model.size);
        scratch_write(&scratch, "spm.txt", text.data, text.size);
        char command[1024];
        snprintf(command, sizeof command, "spm_encode --model '%s/spm.model' < '%s/spm.txt'",
                 scratch.directory, scratch.directory);
        FILE *stream = popen(command, "r");
        assert_non_null(stream);
        char block[4096];
        for (size_t got = 0; (got = fread(block, 1, sizeof block, stream)) > 0;)
            assert_int_equal(buffer_append(&theirs, block, got), STATUS_OK);
        assert_int_equal(pclose(stream), 0);
        assert_string_equal(ours.data, theirs.data);
        buffer_free(&ours);
        buffer_free(&theirs);
        buffer_free(&text);
        subword_free(subword);
    }
}

/* Opens bytes that may be anything; what opens must also encode. */
static enum status try_open(const char *bytes, size_t size)
{
    struct subword *subword = NULL;
    const enum status status = subword_open_bytes(&subword, bytes, size, "damaged");
    if (status < 0) {
        assert_null(subword);
        assert_non_null(strstr(status_message(), "damaged"));
        return status;
    }
    struct ids ids = {0};
    for (size_t i = 0; i < 5; i++)
        assert_true(subword_encode(subword, texts[i].bytes, texts[i].size, &ids) <= 0);
    ids_free(&ids);
    subword_free(subword);
    return STATUS_OK;
}

static void damaged_models_are_refused(void **state)
{
    (void)state;
    struct subword_train_options options = options_for("unigram", 60);
    options.normalize = "identity"; /* a small model: no normaliser table */
    struct buffer model = {0};
    assert_int_equal(subword_train(&options, &model, NULL), STATUS_OK);
    for (size_t size = 0; size < model.size; size++)
        assert_int_equal(try_open(model.data, size), STATUS_FORMAT);
    for (size_t i = 0; i < 2 * model.size; i++) {
        /* of every byte the highest bit (it makes lengths endless), and one of the others */
        const int bit = i % 2 ? 7 : (int)(i / 2 % 7);
        model.data[i / 2] = (char)(model.data[i / 2] ^ (1 << bit));
        const enum status status = try_open(model.data, model.size);
        assert_true(status == STATUS_OK || status == STATUS_FORMAT);
        model.data[i / 2] = (char)(model.data[i / 2] ^ (1 << bit));
    }
    for (uint32_t round = 0; round < 200; round++) {
        for (uint32_t i = 0; i < 200; i++)
            model.data[i] = (char)random_philox((struct random_key){7, 0, 0}, round, i).word[0];
        assert_int_equal(try_open(model.data, 200), STATUS_FORMAT);
    }
    buffer_free(&model);
}

/* The normaliser's table is followed blindly by the library: every bit of its first units, and some
 * bits of the rest. */
static void damaged_normaliser_is_refused(void **state)
{
    (void)state;
    const struct subword_train_options options = options_for("unigram", 60);
    struct buffer model = {0};
    assert_int_equal(subword_train(&options, &model, NULL), STATUS_OK);
    const char *name = NULL;
    for (size_t i = 0; i + 8 < model.size && !name; i++)
        name = memcmp(model.data + i, "nmt_nfkc", 8) == 0 ? model.data + i : NULL;
    assert_non_null(name);
    const size_t table = (size_t)(name - model.data) + 8;
    /* a field key, a length of three bytes, the size of the trie: then its first unit */
    char *const root = model.data + table + 8;
    const char kept = root[3];
    root[3] = 0x7F;
    assert_int_equal(try_open(model.data, model.size), STATUS_FORMAT);
    assert_non_null(strstr(status_message(), "points outside itself"));
    root[3] = kept;
    assert_int_equal(try_open(model.data, model.size), STATUS_OK);
    int n_refused = 0;
    for (uint32_t round = 0; round < 400; round++) {
        const size_t bit =
            round < 700
                ? 8 * table + round
                : 8 * table + random_philox((struct random_key){9, 0, 0}, round, 0).word[0] %
                                  (8 * (model.size - table));
        model.data[bit / 8] = (char)(model.data[bit / 8] ^ (1 << bit % 8));
        n_refused += try_open(model.data, model.size) < 0;
        model.data[bit / 8] = (char)(model.data[bit / 8] ^ (1 << bit % 8));
    }
    assert_true(n_refused > 40);
    buffer_free(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_input_same_bytes),
        cmocka_unit_test(special_ids_are_fixed),
        cmocka_unit_test(text_survives_the_round_trip),
        cmocka_unit_test(odd_texts),
        cmocka_unit_test(bytes_stand_for_unknown_letters),
        cmocka_unit_test(size_limits_are_named),
        cmocka_unit_test(wrong_options_are_named),
        cmocka_unit_test(unigram_sampling_has_the_right_odds),
        cmocka_unit_test(n_best_draws_among_the_best),
        cmocka_unit_test(sampling_agrees_at_its_limits),
        cmocka_unit_test(bpe_without_merges_is_characters),
        cmocka_unit_test(equals_spm_encode),
        cmocka_unit_test(damaged_models_are_refused),
        cmocka_unit_test(damaged_normaliser_is_refused),
    };
    make_corpus();
    scratch_open(&scratch);
    const int failures = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_close(&scratch);
    return failures;
}
