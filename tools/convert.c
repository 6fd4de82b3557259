/* mixt convert: a model file in another type. */
#include "model/convert.h"
#include "base/clock.h"
#include "tools/footer.h"
#include "tools/options.h"
#include "tools/verbs.h"

struct convert_options {
    const char *model, *dtype;
};

#define AT(member) offsetof(struct convert_options, member)

static const struct option table[] = {
    {"model", 'm', NULL, "MODEL", OPTION_STRING, AT(model), 0, 0, NULL,
     "run directory (its best model) or .safetensors file, in f32"},
    {"dtype", 0, NULL, "TYPE", OPTION_STRING, AT(dtype), 0, 0, "int8",
     "type of the matrices in OUT.safetensors"},
};

static const struct options_command command = {
    .verb = "convert",
    .arguments = "OUT.safetensors",
    .description =
        "Writes a model for decoding, with its matrices in int8: a quarter of the memory, and "
        "products several times as fast. Gates, embeddings and biases stay as they are. Verbs that "
        "read a model read such a file, mapped, so that it must not be changed while one runs; it "
        "cannot be trained. A matrix at a time is in memory.",
    .options = table,
    .n_options = sizeof table / sizeof *table,
    .min_arguments = 1,
    .max_arguments = 1,
};

int convert_main(int argc, char **argv)
{
    struct convert_options options = {0};
    struct option_list arguments = {0};
    const double start = clock_seconds();
    int code = options_start(&command, argc, argv, &options, &arguments);
    if (code >= 0)
        return code;
    enum status status = STATUS_OK;
    if (!options.model || !options.dtype) {
        status = status_set(STATUS_USAGE, "convert: no %s given", options.model ? "type" : "model");
        status_hint("mixt convert -m MODEL --dtype int8 OUT.safetensors");
    }
    if (status >= 0)
        status = model_convert_to_int8(options.model, arguments.items[0]);
    if (status >= 0)
        footer_print(start, "");
    options_free(&command, &options, &arguments);
    return status_finish(status);
}
