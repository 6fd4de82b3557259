/* Runs a fuzz target without libFuzzer.
 *
 * Usage: fuzz_NAME            20,000 mutated seeds, the same ones each time
 *        fuzz_NAME RUNS SEED  as many, other ones
 *        fuzz_NAME FILE...    the bytes of each file, as libFuzzer leaves them behind */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/file.h"
#include "base/random.h"
#include "tests/fuzz/fuzz.h"

enum { DEFAULT_RUNS = 20000, MAX_MUTATIONS = 8, MAX_INSERTED = 64, MAX_FILE_BYTES = 1 << 28 };

/* Numbers for one input. */
struct dice {
    struct random_key key;
    uint64_t n_thrown;
};

static size_t throw_dice(struct dice *dice, size_t bound)
{
    const struct random_words words = random_philox(dice->key, (uint32_t)dice->n_thrown, 0);
    dice->n_thrown++;
    return bound == 0 ? 0 : (size_t)random_below(words.word[0], words.word[1], bound);
}

static uint8_t interesting_byte(struct dice *dice)
{
    static const uint8_t bytes[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0xc0, 0xe2, 0xf4, '\n',
                                    '\r', '\t', ' ',  '"',  '{',  '<',  '-',  '0',  '9'};
    return throw_dice(dice, 2) == 0 ? (uint8_t)throw_dice(dice, 256)
                                    : bytes[throw_dice(dice, sizeof bytes)];
}

/* Cuts, repeats, inserts or overwrites a few bytes; text has room for MAX_INSERTED more. */
static size_t mutate(struct dice *dice, uint8_t *text, size_t size)
{
    const size_t place = throw_dice(dice, size + 1);
    const size_t length = 1 + throw_dice(dice, MAX_INSERTED);
    const size_t rest = size - place, cut = length < rest ? length : rest;
    switch (throw_dice(dice, 4)) {
    case 0:
        memmove(text + place, text + place + cut, rest - cut);
        return size - cut;
    case 1:
        memmove(text + place + cut, text + place, rest);
        return size + cut;
    case 2:
        memmove(text + place + 1, text + place, rest);
        text[place] = interesting_byte(dice);
        return size + 1;
    default:
        if (rest > 0)
            text[place] = interesting_byte(dice);
        return size;
    }
}

static void run_mutated(uint64_t run, uint64_t seed)
{
    struct dice dice = {.key = {seed, (uint32_t)run, 0}};
    const struct fuzz_seed *start = &fuzz_seeds[throw_dice(&dice, n_fuzz_seeds)];
    uint8_t *text = malloc(start->size + MAX_MUTATIONS * (MAX_INSERTED + 1));
    CHECK(text != NULL, "no memory for a seed of %zu bytes", start->size);
    memcpy(text, start->bytes, start->size);
    size_t size = start->size;
    for (size_t n = throw_dice(&dice, MAX_MUTATIONS + 1); n > 0; n--)
        size = mutate(&dice, text, size);
    uint8_t *exact = malloc(size + 1); /* so that a read past the end is past the block */
    CHECK(exact != NULL, "no memory for %zu bytes", size);
    memcpy(exact, text, size);
    free(text);
    exact = realloc(exact, size > 0 ? size : 1);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static int run_file(const char *path)
{
    struct buffer bytes = {0};
    if (file_read(path, MAX_FILE_BYTES, &bytes) < 0) {
        status_print();
        return 1;
    }
    LLVMFuzzerTestOneInput((const uint8_t *)(bytes.data == NULL ? "" : bytes.data), bytes.size);
    buffer_free(&bytes);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && file_exists(argv[1])) {
        int code = 0;
        for (int i = 1; i < argc; i++)
            code |= run_file(argv[i]);
        return code;
    }
    const uint64_t n_runs = argc > 1 ? strtoull(argv[1], NULL, 10) : DEFAULT_RUNS;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    for (uint64_t run = 0; run < n_runs; run++)
        run_mutated(run, seed);
    printf("%" PRIu64 " inputs made from %zu seeds (seed %" PRIu64 ")\n", n_runs, n_fuzz_seeds,
           seed);
    return 0;
}
