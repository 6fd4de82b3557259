/* Settings in YAML: whatever the text, they are refused with a message, or they are settings whose
 * own text reads back as the same settings. */
#include <stdlib.h>
#include <string.h>

#include "model/config.h"
#include "tests/fuzz/fuzz.h"

static const char seed[] = "name: tiny\n"
                           "data:\n"
                           "  train: [a.en, 'b.de']\n"
                           "  subword: {type: bpe, size: 64, sampling: 0.1}\n"
                           "model:\n"
                           "  dim: 32 # width\n"
                           "  moe: {after: [encoder.1, decoder.1], experts: 4, top_k: 2}\n"
                           "train: {steps: 60, optimizer: {lr: 5.0e-3}}\n"
                           "valid:\n  every: 20\n  beam: 2\n";

const struct fuzz_seed fuzz_seeds[] = {
    FUZZ_SEED(seed),
    FUZZ_SEED("a: &x [1, 2]\nb: *x\n"),
    FUZZ_SEED("model: {dim: no, dropout: .inf}\n---\nname: \"\\u00e9\"\n"),
};
const size_t n_fuzz_seeds = sizeof fuzz_seeds / sizeof fuzz_seeds[0];

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct config *config = malloc(sizeof *config), *again = malloc(sizeof *again);
    struct buffer first = {0}, second = {0};
    CHECK(config != NULL && again != NULL, "no memory for settings");
    if (config_read_text(config, (const char *)bytes, size, "fuzz.yaml") == STATUS_OK) {
        CHECK(config_write(config, CONFIG_PART_ALL, &first) == STATUS_OK, "%s", status_message());
        CHECK(config_read_text(again, first.data, first.size, "again.yaml") == STATUS_OK,
              "%s in:\n%s", status_message(), first.data);
        CHECK(config_write(again, CONFIG_PART_ALL, &second) == STATUS_OK, "%s", status_message());
        CHECK(first.size == second.size && memcmp(first.data, second.data, first.size) == 0,
              "other settings:\n%s\n%s", first.data, second.data);
    } else {
        CHECK(status_message()[0] != '\0', "refused without a word");
    }
    buffer_free(&first);
    buffer_free(&second);
    free(config);
    free(again);
    return 0;
}
