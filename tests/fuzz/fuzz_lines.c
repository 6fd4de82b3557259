/* The reader of lines, plain and .gz: every byte it is given comes out in some line, and as valid
 * UTF-8 unless the lines are wanted verbatim. */
#include <string.h>

#include "base/status.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_file.h"
#include "text/lines.h"
#include "text/utf8.h"

const struct fuzz_seed fuzz_seeds[] = {
    FUZZ_SEED("one\ntwo\n\nfour"),
    FUZZ_SEED("\xef\xbb\xbf\xc3\xa4\r\n\xff\xfe\n\0x\n"),
    FUZZ_SEED("\x1f\x8b\x08\0\0\0\0\0\0\x03\xcb\xcf\x4b\xe5\x2a\x29\xcf\xe7\x02\0\x0c\x91\x1c\xdb"
              "\x08\0\0\0"),
};
const size_t n_fuzz_seeds = sizeof fuzz_seeds / sizeof fuzz_seeds[0];

static void read_all(const char *path, bool is_verbatim)
{
    struct lines *lines = NULL;
    if (lines_open(&lines, path) < 0)
        return;
    lines_set_limit(lines, 4096);
    if (is_verbatim)
        lines_set_verbatim(lines);
    struct line line = {.bytes = ""};
    int64_t n_lines = 0;
    while (lines_next(lines, &line) == STATUS_OK && line.bytes != NULL) {
        CHECK(line.number == ++n_lines, "line %lld", (long long)line.number);
        CHECK(line.bytes[line.size] == '\0', "line %lld has no end", (long long)line.number);
        CHECK(memchr(line.bytes, '\n', line.size) == NULL, "a line end inside a line");
        CHECK(is_verbatim || utf8_valid_prefix(line.bytes, line.size) == line.size,
              "invalid UTF-8 came out");
    }
    lines_close(lines);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const struct fuzz_file file = fuzz_file_open(bytes, size);
    read_all(file.path, false);
    read_all(file.path, true);
    fuzz_file_close(&file);
    return 0;
}
