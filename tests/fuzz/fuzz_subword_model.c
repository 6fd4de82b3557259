/* Subword models from strangers: what the check lets pass, the library must open and use without a
 * crash, and every id is one of the model. */
#include <stdint.h>
#include <string.h>

#include "base/status.h"
#include "tests/fuzz/fuzz.h"
#include "text/subword/sentencepiece.h"
#include "text/subword/subword_file.h"

/* Merges of a and b, without normalisation. */
static const char bpe[] =
    "\x0A\x0E\x0A\x05<unk>\x15\x00\x00\x00\x00\x18\x02\x0A\x0C\x0A\x03<s>\x15\x00\x00\x00\x00"
    "\x18\x03\x0A\x0D\x0A\x04</s>\x15\x00\x00\x00\x00\x18\x03\x0A\x0B\x0A\x04\xE2\x96\x81\x61"
    "\x15\x00\x00\x00\x00\x0A\x0C\x0A\x05\xE2\x96\x81\x61\x62\x15\x00\x00\x80\xBF\x0A\x08\x0A"
    "\x01\x61\x15\x00\x00@\xC0\x0A\x0A\x0A\x03\xE2\x96\x81\x15\x00\x00\x80\xC0\x0A\x08\x0A"
    "\x01\x62\x15\x00\x00\xA0\xC0\x12\x02\x18\x02\x1A\x00";

/* With a piece of the user. */
static const char unigram[] =
    "\x0A\x0E\x0A\x05<unk>\x15\x00\x00\x00\x00\x18\x02\x0A\x0C\x0A\x03<s>\x15\x00\x00\x00\x00"
    "\x18\x03\x0A\x0D\x0A\x04</s>\x15\x00\x00\x00\x00\x18\x03\x0A\x0A\x0A\x03\xE2\x96\x81\x15"
    "\x00\x00\x00\xC0\x0A\x08\x0A\x01\x61\x15\x00\x00 \xC0\x0A\x09\x0A\x02\x61\x62\x15\x00"
    "\x00@\xC0\x0A\x09\x0A\x02\xC3\xA9\x15\x00\x00\x80\xC0\x0A\x0C\x0A\x03x y\x15\x00\x00\x00"
    "\x00\x18\x04\x12\x02\x18\x01\x1A\x02\x18\x01";

enum { RULES = 78, UNITS = RULES + 4, STRINGS = UNITS + 1024 };

/* A word model whose normaliser turns A into bb: a trie of 256 units, most of them unused, and the
 * string. */
/* clang-format off */
static const char word[STRINGS + 3] = {
    10, 14, 10, 5, '<', 'u', 'n', 'k', '>', 21, 0, 0, 0, 0, 24, 2, 10, 12, 10, 3, '<', 's',
    '>', 21, 0, 0, 0, 0, 24, 3, 10, 13, 10, 4, '<', '/', 's', '>', 21, 0, 0, 0, 0, 24, 3, 10,
    11, 10, 4, '\xE2', '\x96', '\x81', 'a', 21, 0, 0, '\x80', '\xBF', 10, 8, 10, 1, 'b', 21,
    0, 0, 0, '\xC0', 18, 2, 24, 3, 26, '\x8A', 8, 18, '\x87', 8,
    [RULES + 1] = 4,
    [UNITS + 2] = 1,
    [UNITS + 4] = 'A',
    [UNITS + 5] = 0x0D,
    [UNITS + 11] = '\x80',
    [UNITS + 256] = 1,
    [STRINGS] = 'b',
    [STRINGS + 1] = 'b',
};
/* clang-format on */

const struct fuzz_seed fuzz_seeds[] = {
    FUZZ_SEED(bpe),
    FUZZ_SEED(unigram),
    {word, sizeof word},
};
const size_t n_fuzz_seeds = sizeof fuzz_seeds / sizeof fuzz_seeds[0];

static const char *const texts[] = {
    "",
    " ",
    "a",
    "ab ab",
    "  aAb \xC3\xA9x y",
    "\xE2\x96\x81\xE2\x96\x81 z\xFFz",
    "A\xEF\xAC\x81 <s> \x01",
};

enum { N_TEXTS = sizeof texts / sizeof texts[0], MOST_DECODED = 600 };

static void check_ids(const struct subword *subword, const struct ids *ids)
{
    for (size_t i = 0; i < ids->size; i++)
        CHECK(ids->data[i] >= 0 && ids->data[i] < subword_size(subword), "id %d", ids->data[i]);
}

/* Failures are allowed, the library has some; what comes out must be sound. */
static void use_text(const struct subword *subword, const char *text)
{
    struct ids ids = {0};
    struct buffer pieces = {0}, back = {0};
    const size_t size = strlen(text);
    if (subword_encode(subword, text, size, &ids) == STATUS_OK)
        check_ids(subword, &ids);
    if (subword_decode(subword, ids.data, ids.size, &back) == STATUS_OK)
        CHECK(back.size == 0 || memchr(back.data, '\n', back.size) == NULL, "a line end");
    ids_clear(&ids);
    if (subword_sample(subword, text, size, 0.5, -1, 1, &ids) == STATUS_OK)
        check_ids(subword, &ids);
    bool is_done = subword_encode_pieces(subword, text, size, &pieces) == STATUS_OK;
    if (is_done)
        is_done = subword_decode_pieces(subword, pieces.data, pieces.size, &back) == STATUS_OK;
    if (is_done && subword_is_unigram(subword))
        is_done = subword_n_best(subword, text, size, 3, true, &pieces) == STATUS_OK;
    ids_free(&ids);
    buffer_free(&pieces);
    buffer_free(&back);
}

static void decode_all(const struct subword *subword)
{
    struct buffer text = {0};
    for (int32_t id = 0; id < subword_size(subword) && id < MOST_DECODED; id++) {
        CHECK(subword_piece(subword, id)[0] != '\0', "piece %d is empty", id);
        if (subword_decode(subword, &id, 1, &text) < 0)
            break;
    }
    buffer_free(&text);
}

static void normalize_texts(const char *bytes, size_t size)
{
    struct subword *rules = NULL;
    struct buffer text = {0};
    if (subword_open_normalizer(&rules, bytes, size, "fuzz", SUBWORD_SPACES_KEPT) < 0)
        return;
    for (size_t i = 0; i < N_TEXTS; i++) {
        if (subword_normalize(rules, texts[i], strlen(texts[i]), &text) < 0)
            break;
    }
    subword_free(rules);
    buffer_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct subword *subword = NULL;
    struct subword_file file;
    if (subword_file_check((const char *)bytes, size, "fuzz", &file) < 0)
        return 0;
    if (subword_open_bytes(&subword, (const char *)bytes, size, "fuzz") < 0)
        return 0;
    CHECK(subword_size(subword) == file.n_pieces, "%d pieces", subword_size(subword));
    for (size_t i = 0; i < N_TEXTS; i++)
        use_text(subword, texts[i]);
    decode_all(subword);
    subword_free(subword);
    normalize_texts((const char *)bytes, size);
    return 0;
}
