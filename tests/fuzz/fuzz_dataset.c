/* Descriptions of data sets: what is accepted can be written, and reads back as the same. */
#include <string.h>

#include "base/buffer.h"
#include "base/status.h"
#include "tests/fuzz/fuzz.h"
#include "text/prep/dataset.h"

static const char seed[] =
    "{\"format\": \"mixt-dataset\", \"version\": 1, \"name\": \"a-set\", "
    "\"languages\": [\"en\", \"de\"],\n"
    "\"archives\": [{\"name\": \"a.tgz\", \"urls\": [\"https://h/a.tgz\", \"http://h/b\"], "
    "\"bytes\": 12, \"md5\": \"0123456789abcdef0123456789abcdef\"}, {\"name\": \"b.gz\"}],\n"
    "\"texts\": [{\"part\": \"train\", \"name\": \"news\", \"lines\": 5, "
    "\"sides\": [{\"archive\": \"a.tgz\", \"member\": \"./d/x.en\"}, {\"archive\": \"b.gz\"}], "
    "\"or\": [[{\"archive\": \"b.gz\"}, {\"archive\": \"a.tgz\", \"member\": \"y\"}]]},\n"
    "{\"part\": \"dev\", \"name\": \"t\", \"sides\": [{\"archive\": \"a.tgz\", \"member\": "
    "\"a.sgm\"}, {\"archive\": \"a.tgz\", \"member\": \"b.sgm\"}]}],\n"
    "\"pairs\": 5, \"tolerance\": 0.25, \"made\": {\"any\": [1, 2]}}\n";

const struct fuzz_seed fuzz_seeds[] = {FUZZ_SEED(seed)};
const size_t n_fuzz_seeds = sizeof fuzz_seeds / sizeof fuzz_seeds[0];

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct dataset *dataset = NULL, *again = NULL;
    struct buffer text = {0}, second = {0};
    if (dataset_parse(&dataset, (const char *)bytes, size, "input") < 0) {
        CHECK(dataset == NULL, "something came out beside an error");
        CHECK(strchr(status_message(), '\n') == NULL, "a message of several lines");
        return 0;
    }
    for (size_t t = 0; t < dataset->n_texts; t++) {
        for (size_t s = 0; s < dataset->texts[t].n_sources; s++)
            (void)dataset_is_sgml(dataset, &dataset->texts[t].sources[s].sides[0]);
    }
    CHECK(dataset_append_json(dataset, NULL, &text) == STATUS_OK, "cannot be written");
    CHECK(dataset_parse(&again, text.data, text.size, "output") == STATUS_OK,
          "what was written is refused: %s", status_message());
    CHECK(dataset_append_json(again, NULL, &second) == STATUS_OK, "cannot be written twice");
    CHECK(strcmp(text.data, second.data) == 0, "it reads back as something else");
    buffer_free(&text);
    buffer_free(&second);
    dataset_free(dataset);
    dataset_free(again);
    return 0;
}
