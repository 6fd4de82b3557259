/* The reader of codes: whatever it takes can be written, applied to a text and taken off again. */
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_file.h"
#include "text/subword/bpe.h"

const struct fuzz_seed fuzz_seeds[] = {
    FUZZ_SEED("#version: 0.2\nl o\ne r</w>\nlo w\na a\naa a</w>\n"),
    FUZZ_SEED("l o\ne r\nlo w</w>\n< /w>\n"),
    FUZZ_SEED("#version: 0.2 byte\n\xC3 \xA4\n\xC3\xA4 </w>\n"),
};
const size_t n_fuzz_seeds = sizeof fuzz_seeds / sizeof fuzz_seeds[0];

static const char text[] = " lower  low </w> aaaaaaa \xC3\xA4\xC3\xA4 \xFF\xE2\x80\xA8 er\r";

static void apply(struct bpe_codes *codes, const struct bpe_options *options)
{
    struct bpe *bpe = NULL;
    struct bpe_encoder *encoder = NULL;
    struct buffer output = {0};
    const struct line line = {.bytes = text, .size = sizeof text - 1, .number = 1};
    CHECK(bpe_open(&bpe, codes, options) == STATUS_OK, "%s", status_message());
    CHECK(bpe_encoder_open(&encoder, bpe) == STATUS_OK, "%s", status_message());
    CHECK(bpe_encode_line(encoder, &line, &output) == STATUS_OK, "%s", status_message());
    CHECK(output.size >= 30, "%zu bytes are left", output.size);
    buffer_free(&output);
    bpe_encoder_close(encoder);
    bpe_close(bpe);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const struct fuzz_file file = fuzz_file_open(bytes, size);
    struct lines *lines = NULL;
    struct bpe_codes codes = {0};
    if (lines_open(&lines, file.path) == STATUS_OK && bpe_codes_read(&codes, lines, -1) >= 0) {
        struct strings vocabulary = {0};
        int32_t number = 0;
        CHECK(strings_add(&vocabulary, "l@@", 3, &number) == STATUS_OK, "%s", status_message());
        apply(&codes, &(struct bpe_options){.separator = "@@"});
        apply(&codes, &(struct bpe_options){.separator = "", .dropout = 0.5});
        apply(&codes, &(struct bpe_options){.separator = "@@", .vocabulary = &vocabulary});
        strings_free(&vocabulary);
    }
    bpe_codes_free(&codes);
    lines_close(lines);
    fuzz_file_close(&file);
    return 0;
}
