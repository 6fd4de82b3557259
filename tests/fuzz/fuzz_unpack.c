/* Archives and compressed texts from strangers: reading them ends with a status, and of a text that
 * is handed over the end comes once, last. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_file.h"
#include "text/prep/unpack.h"

enum { BLOCK = 512, CHECKSUM_AT = 148, CHECKSUM_BYTES = 8, MAGIC_AT = 257, N_WANTS = 2 };

static const char zip[] =
    "PK\003\004\024\000\000\000\010\000\000\000!\000\346\013\272\022\012\000\000\000"
    "\010\000\000\000\006\000\000\000d/x.en\313\317K\345*)\317\347\002\000PK\001\002"
    "\024\003\024\000\000\000\010\000\000\000!\000\346\013\272\022\012\000\000\000\010"
    "\000\000\000\006\000\000\000\000\000\000\000\000\000\000\000\200\001\000\000\000"
    "\000d/x.enPK\005\006\000\000\000\000\001\000\001\0004\000\000\000.\000\000\000"
    "\000\000";

static const char gzip[] =
    "\037\213\010\000\000\000\000\000\002\003\313\317K\345*)\317\347*\311(JM\345\002"
    "\000\266\325\346%\016\000\000\000";

/* A .tar of two files and a link, filled in before main(). */
static char tar[8 * BLOCK];

const struct fuzz_seed fuzz_seeds[] = {{tar, sizeof tar}, FUZZ_SEED(zip), FUZZ_SEED(gzip)};
const size_t n_fuzz_seeds = sizeof fuzz_seeds / sizeof fuzz_seeds[0];

/* Writes the sum that a header of a .tar states of itself. */
static void sum_header(unsigned char *block)
{
    unsigned sum = 0;
    memset(block + CHECKSUM_AT, ' ', CHECKSUM_BYTES);
    for (int i = 0; i < BLOCK; i++)
        sum += block[i];
    char digits[CHECKSUM_BYTES];
    snprintf(digits, sizeof digits, "%06o", sum);
    memcpy(block + CHECKSUM_AT, digits, sizeof digits - 1);
}

static void write_header(char *block, const char *name, unsigned size, char type)
{
    snprintf(block, 100, "%s", name);
    memcpy(block + 100,
           "0000644\0"
           "0000000\0"
           "0000000\0",
           24);
    snprintf(block + 124, 12, "%011o", size);
    memcpy(block + 136, "00000000000", 12);
    block[156] = type;
    memcpy(block + MAGIC_AT,
           "ustar\0"
           "00",
           8);
    sum_header((unsigned char *)block);
}

__attribute__((constructor)) static void fill_tar(void)
{
    static const char english[] = "one\ntwo\n", german[] = "eins\nzwei\n";
    write_header(tar, "./d/x.en", sizeof english - 1, '0');
    memcpy(tar + BLOCK, english, sizeof english - 1);
    write_header(tar + 2 * BLOCK, "d/x.de", sizeof german - 1, '0');
    memcpy(tar + 3 * BLOCK, german, sizeof german - 1);
    write_header(tar + 4 * BLOCK, "d/link", 0, '2');
    snprintf(tar + 4 * BLOCK + 157, 100, "/etc/passwd");
}

/* What was handed over so far. */
struct taken {
    bool has_ended[N_WANTS];
    int64_t bytes;
};

static enum status take(void *context, size_t i, const void *bytes, size_t size)
{
    struct taken *taken = context;
    CHECK(i < N_WANTS, "want %zu", i);
    CHECK(!taken->has_ended[i], "more of a text that has ended");
    CHECK(size == 0 || bytes != NULL, "no bytes");
    taken->has_ended[i] = size == 0;
    taken->bytes += (int64_t)size;
    return taken->bytes > 1 << 26 ? status_set(STATUS_DATA, "enough") : STATUS_OK;
}

static void unpack(const char *path, const char *first, size_t n_wants)
{
    struct taken taken = {0};
    struct unpack_want wants[N_WANTS] = {{.member = first}, {.member = "d/x.de"}};
    const struct unpack_job job = {
        .path = path,
        .name = "archive",
        .wants = wants,
        .n_wants = n_wants,
        .take = take,
        .context = &taken,
    };
    int64_t n_members = 0;
    const enum status status = unpack_run(&job, &n_members);
    CHECK(status == STATUS_OK || strchr(status_message(), '\n') == NULL, "a message of two lines");
    for (size_t i = 0; i < n_wants; i++)
        CHECK(status < 0 || wants[i].is_found == taken.has_ended[i], "text %zu", i);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    unsigned char *copy = malloc(size + 1);
    CHECK(copy != NULL, "no memory");
    memcpy(copy, bytes, size);
    for (size_t at = 0; at + BLOCK <= size; at += BLOCK) {
        if (memcmp(copy + at + MAGIC_AT, "ustar", 5) == 0)
            sum_header(copy + at); /* else no changed header would be looked into */
    }
    const struct fuzz_file file = fuzz_file_open(copy, size);
    unpack(file.path, "d/x.en", N_WANTS);
    unpack(file.path, NULL, 1);
    fuzz_file_close(&file);
    free(copy);
    return 0;
}
