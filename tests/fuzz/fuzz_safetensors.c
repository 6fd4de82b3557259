/* Model files: every tensor that a header promises can be read, and nothing outside the file. */
#include <stdlib.h>

#include "model/safetensors.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_file.h"

/* A header of 144 bytes and two tensors, one of them empty. */
static const char seed[] = "\x90\0\0\0\0\0\0\0"
                           "{\"__metadata__\":{\"format\":\"x\"},"
                           "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                           "\"b\":{\"dtype\":\"I32\",\"shape\":[0],\"data_offsets\":[8,8]}}       "
                           "abcdefgh";

const struct fuzz_seed fuzz_seeds[] = {
    FUZZ_SEED(seed),
    FUZZ_SEED("\x02\0\0\0\0\0\0\0{}"),
    FUZZ_SEED("\xff\xff\xff\xff\xff\xff\xff\x7f{}"),
};
const size_t n_fuzz_seeds = sizeof fuzz_seeds / sizeof fuzz_seeds[0];

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const struct fuzz_file name = fuzz_file_open(bytes, size);
    struct safetensors *file = NULL;
    if (safetensors_open(&file, name.path) == STATUS_OK) {
        for (size_t i = 0; i < safetensors_count(file); i++) {
            const struct safetensors_tensor *tensor = safetensors_get(file, i);
            void *values = malloc(size + 1); /* a tensor is not larger than its file */
            CHECK(values != NULL, "no memory for %zu bytes", size);
            const enum status status = safetensors_read(file, tensor, values);
            CHECK(status == STATUS_OK || status_message()[0] != '\0', "failed without a word");
            free(values);
        }
        (void)safetensors_metadata(file, "format");
        const enum status status = safetensors_verify(file);
        CHECK(status == STATUS_OK || status_message()[0] != '\0', "failed without a word");
    }
    safetensors_close(file);
    fuzz_file_close(&name);
    return 0;
}
