/* The readers of words and their counts: a dictionary to learn from, a text, a vocabulary. */
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_file.h"
#include "text/subword/bpe.h"
#include "text/subword/bpe_counts.h"
#include "text/subword/bpe_learn.h"

const struct fuzz_seed fuzz_seeds[] = {
    FUZZ_SEED("low 5\nlower 2\nnew@@ 6\nwid\xC2\xA0"
              "est 3\n"),
    FUZZ_SEED("aaaa\xC2\xA0"
              "a 900000000000000\naa -7\n\xFF\xE2\x80\xA8"
              "ab +0\r\n"),
};
const size_t n_fuzz_seeds = sizeof fuzz_seeds / sizeof fuzz_seeds[0];

static void learn(const char *path, enum bpe_input input, bool is_bytes)
{
    struct lines *lines = NULL;
    struct bpe_counts counts = {0};
    struct bpe_codes codes = {0};
    const struct bpe_learn_options options = {.n_merges = 250, .is_bytes = is_bytes};
    if (lines_open(&lines, path) == STATUS_OK &&
        bpe_counts_read(&counts, lines, input, is_bytes) == STATUS_OK &&
        bpe_counts_cut_lines(&counts) == STATUS_OK &&
        bpe_learn(&counts, &options, &codes) == STATUS_OK)
        CHECK(codes.n_merges <= 250, "%zu merges", codes.n_merges);
    bpe_codes_free(&codes);
    bpe_counts_free(&counts);
    lines_close(lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const struct fuzz_file file = fuzz_file_open(bytes, size);
    struct lines *lines = NULL;
    struct strings vocabulary = {0};
    learn(file.path, BPE_INPUT_DICTIONARY, false);
    learn(file.path, BPE_INPUT_TEXT, false);
    learn(file.path, BPE_INPUT_TEXT, true);
    if (lines_open(&lines, file.path) == STATUS_OK &&
        bpe_read_vocabulary(&vocabulary, lines, -3) == STATUS_OK)
        CHECK((size_t)vocabulary.size <= size, "%d pieces", vocabulary.size);
    strings_free(&vocabulary);
    lines_close(lines);
    fuzz_file_close(&file);
    return 0;
}
