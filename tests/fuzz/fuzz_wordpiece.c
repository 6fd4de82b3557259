/* The reader of wordpiece vocabularies: what it accepts, it can encode and decode with. */
#include <string.h>

#include "base/status.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_file.h"
#include "text/subword/wordpiece.h"

const struct fuzz_seed fuzz_seeds[] = {
    FUZZ_SEED("[PAD]\n[UNK]\na\nb\n##a\n##b\nab\n##ab\n"),
    FUZZ_SEED("\xef\xbb\xbf[UNK]\r\n\xc3\xa4\r\n##\xc3\xa4\xe6\xbc\xa2\r\n##\r\n###\r\n"),
    FUZZ_SEED("[UNK]\n\na\nwith space\ta\n\xff\n"),
};
const size_t n_fuzz_seeds = sizeof fuzz_seeds / sizeof fuzz_seeds[0];

/* Every piece is found under its id; as a word it is that one piece, which decodes to itself. */
static void use_piece(const struct wordpiece *wordpiece, int32_t id)
{
    size_t size;
    const char *piece = wordpiece_piece(wordpiece, id, &size);
    CHECK(wordpiece_find(wordpiece, piece, size) == id, "piece %d is not found", id);
    struct ids ids = {0};
    struct buffer text = {0};
    CHECK(wordpiece_encode(wordpiece, piece, size, INT32_MAX, &ids) == STATUS_OK, "not encoded");
    CHECK(ids.size == 1 && ids.data[0] == id, "piece %d is cut otherwise", id);
    CHECK(wordpiece_decode(wordpiece, ids.data, ids.size, &text) == STATUS_OK, "not decoded");
    CHECK(text.size == size && memcmp(text.data, piece, size) == 0, "piece %d changed", id);
    ids_free(&ids);
    buffer_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const struct fuzz_file file = fuzz_file_open(bytes, size);
    struct wordpiece *wordpiece = NULL;
    if (wordpiece_open(&wordpiece, file.path, "[UNK]") == STATUS_OK) {
        for (int32_t id = 0; id < wordpiece_size(wordpiece); id++)
            use_piece(wordpiece, id);
    }
    wordpiece_close(wordpiece);
    if (wordpiece_open(&wordpiece, file.path, NULL) == STATUS_OK)
        CHECK(wordpiece_size(wordpiece) > 0, "a vocabulary of no pieces");
    wordpiece_close(wordpiece);
    fuzz_file_close(&file);
    return 0;
}
