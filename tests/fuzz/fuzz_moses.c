/* The Moses steps on any line: what comes out is UTF-8 without a line end, the same the second
 * time, and tokenising neither loses nor adds anything but white space. */
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "tests/fuzz/fuzz.h"
#include "text/moses/character.h"
#include "text/moses/moses.h"
#include "text/utf8.h"

enum { N_STEPS = 5, N_LANGUAGES = 3, N_CHOICES = 8 };

/* The first byte chooses the language, the second the options. */
const struct fuzz_seed fuzz_seeds[] = {
    FUZZ_SEED("\0\0Don't say \"stop.\" in the U.S., Mr. A... 5,000,a .'"),
    FUZZ_SEED("\1\3Am 3. Mai, z.B. \u201Eso\u201C (1\u00A0000) \x01`` ''"),
    FUZZ_SEED("\2\0L'homme \u00AB\u00A0qu'il\u00A0\u00BB , l' ami ; \u4E2D \u6587 &amp;amp;"),
};
const size_t n_fuzz_seeds = sizeof fuzz_seeds / sizeof fuzz_seeds[0];

/* What is left without white space and ASCII's control characters. */
static void strip(const struct character_table *table, const struct buffer *text,
                  struct buffer *stripped)
{
    for (size_t offset = 0, next = 0; offset < text->size; offset = next) {
        const uint8_t classes = character_next(table, text->data, &next);
        if (!(classes & CHARACTER_SPACE) && (uint8_t)text->data[offset] >= ' ')
            CHECK(buffer_append(stripped, text->data + offset, next - offset) == STATUS_OK,
                  "no memory");
    }
}

static void check_tokens(const struct character_table *table, const char *line, size_t size,
                         const struct buffer *output)
{
    struct buffer text = {0}, wanted = {0}, found = {0};
    size_t n_bad = 0;
    CHECK(buffer_reserve(&wanted, 0) == STATUS_OK && buffer_reserve(&found, 0) == STATUS_OK,
          "no memory");
    CHECK(utf8_repair(&text, line, size, &n_bad) == STATUS_OK, "no memory");
    strip(table, &text, &wanted);
    strip(table, output, &found);
    CHECK(wanted.size == found.size && memcmp(wanted.data, found.data, found.size) == 0,
          "tokenising lost or added something");
    buffer_free(&text);
    buffer_free(&wanted);
    buffer_free(&found);
}

static void run(const struct moses *moses, const struct moses_options *options,
                const struct character_table *table, const char *line, size_t size)
{
    struct moses_work work = {0};
    struct buffer first = {0}, second = {0};
    CHECK(moses_apply(moses, &work, line, size, &first) == STATUS_OK, "failed");
    CHECK(moses_apply(moses, &work, line, size, &second) == STATUS_OK, "failed");
    CHECK(first.size == second.size && memcmp(first.data, second.data, first.size) == 0,
          "not the same twice");
    CHECK(utf8_valid_prefix(first.data, first.size) == first.size, "invalid UTF-8 came out");
    CHECK(memchr(first.data, '\n', first.size) == NULL, "a line end came out");
    if (options->steps == MOSES_TOKENIZE && options->keeps_special && !options->splits_hyphens)
        check_tokens(table, line, size, &first);
    moses_work_free(&work);
    buffer_free(&first);
    buffer_free(&second);
}

/* The steps with these options; opened once, or most of the time of a run would go there. */
static const struct moses *opened(const struct moses_options *options, unsigned step,
                                  unsigned choices)
{
    static struct moses *all[N_LANGUAGES][N_STEPS][N_CHOICES];
    struct moses **place = &all[options->language][step][choices];
    if (*place == NULL)
        CHECK(moses_open(place, options) == STATUS_OK, "no memory");
    return *place;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static struct character_table table;
    if (table.classes['a'] == 0)
        character_fill(&table);
    if (size < 2)
        return 0;
    char *line = malloc(size - 1);
    CHECK(line != NULL, "no memory");
    for (size_t i = 2; i < size; i++)
        line[i - 2] = bytes[i] == '\n' ? ' ' : (char)bytes[i];
    const unsigned choices = bytes[1] % N_CHOICES;
    for (unsigned step = 0; step < N_STEPS; step++) {
        const struct moses_options options = {
            .language = (enum moses_language)(bytes[0] % N_LANGUAGES),
            .release = choices & 1 ? MOSES_RELEASE_4 : MOSES_LATEST,
            .steps = 1u << step,
            .keeps_special = (choices & 2) != 0,
            .splits_hyphens = (choices & 4) != 0,
        };
        run(opened(&options, step, choices), &options, &table, line, size - 2);
    }
    free(line);
    return 0;
}
