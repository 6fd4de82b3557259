/* SGML of test sets: whatever the bytes are, segments come out as single lines of UTF-8 without
 * white space at their ends, as many on both sides. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_file.h"
#include "text/prep/sgml.h"
#include "text/utf8.h"

static const char seed[] =
    "<srcset setid=\"x\" srclang=\"any\">\n<doc sysid=\"src\" docid=\"d.1\" origlang=\"en\">\n<p>\n"
    "<seg id=\"1\">One &amp; two.</seg>\n<seg id=\"2\"> a\xc2\xa0 b \t</seg>\n</p>\n</doc>\n"
    "<doc docid='d.2'>\n<seg id = 1 >x </seg> y\n<seg ></seg>\n</doc>\n</srcset>\n";

const struct fuzz_seed fuzz_seeds[] = {FUZZ_SEED(seed)};
const size_t n_fuzz_seeds = sizeof fuzz_seeds / sizeof fuzz_seeds[0];

static void check_segment(const struct sgml_segment *segment)
{
    const char *text = segment->text;
    const size_t size = segment->size;
    CHECK(memchr(text, '\n', size) == NULL, "a line end inside a segment");
    CHECK(utf8_valid_prefix(text, size) == size, "invalid UTF-8 came out");
    CHECK(size == 0 || (text[0] != ' ' && text[size - 1] != ' '), "a space at an end");
    CHECK(memchr(text, '\t', size) == NULL, "a tab came out");
}

static int64_t read_all(const char *path)
{
    struct sgml *sgml = NULL;
    struct sgml_segment segment = {0};
    int64_t count = 0;
    CHECK(sgml_open(&sgml, path, "name") == STATUS_OK, "cannot open %s", path);
    enum status status = STATUS_OK;
    while ((status = sgml_next(sgml, &segment)) == STATUS_OK && segment.text != NULL) {
        check_segment(&segment);
        count++;
    }
    sgml_close(sgml);
    return status < 0 ? -1 : count;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const struct fuzz_file file = fuzz_file_open(bytes, size);
    const int64_t wanted = read_all(file.path);
    char *texts[2] = {NULL, NULL};
    size_t sizes[2] = {0, 0};
    FILE *const outputs[2] = {open_memstream(&texts[0], &sizes[0]),
                              open_memstream(&texts[1], &sizes[1])};
    CHECK(outputs[0] != NULL && outputs[1] != NULL, "no memory");
    int64_t count = 0;
    const enum status status =
        sgml_write_pair((const char *const[2]){file.path, file.path},
                        (const char *const[2]){"one", "two"}, outputs, &count);
    CHECK((status == STATUS_OK) == (wanted > 0), "%lld segments, status %d", (long long)wanted,
          (int)status);
    CHECK(status < 0 || count == wanted, "%lld segments written", (long long)count);
    for (int i = 0; i < 2; i++)
        fclose(outputs[i]);
    CHECK(sizes[0] == sizes[1] && memcmp(texts[0], texts[1], sizes[0]) == 0, "the sides differ");
    free(texts[0]);
    free(texts[1]);
    fuzz_file_close(&file);
    return 0;
}
