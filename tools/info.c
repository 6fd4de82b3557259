/* mixt info: what a model file holds, and what its gates do with a text. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/model_file.h"
#include "model/shards.h"
#include "tools/options.h"
#include "tools/routing/routing.h"
#include "tools/verbs.h"

struct info_options {
    bool wants_tensors, wants_config, wants_check, wants_routing;
    struct routing_options routing;
};

#define AT(member) offsetof(struct info_options, member)

static const struct option table[] = {
    {"tensors", 't', NULL, NULL, OPTION_FLAG, AT(wants_tensors), 0, 0, NULL,
     "list every tensor with type and shape"},
    {"config", 'c', NULL, NULL, OPTION_FLAG, AT(wants_config), 0, 0, NULL,
     "print the settings it was trained with, as YAML"},
    {"check", 0, NULL, NULL, OPTION_FLAG, AT(wants_check), 0, 0, NULL,
     "read every tensor and compare its hash"},
    {"routing", 0, NULL, NULL, OPTION_FLAG, AT(wants_routing), 0, 0, NULL,
     "run the model over TEXT and tell for each mixture of experts how evenly it is used and which "
     "tokens are typical of each expert; with TARGET, a line-parallel translation of TEXT, also in "
     "the decoder"},
    {"json", 0, NULL, NULL, OPTION_FLAG, AT(routing.wants_json), 0, 0, NULL,
     "with --routing: print JSON"},
    {"plot", 0, NULL, "FILE", OPTION_STRING, AT(routing.plot), 0, 0, NULL,
     "with --routing: draw loads and importances as heat maps, .svg or .png"},
    {"top", 0, NULL, "N", OPTION_INT, AT(routing.n_top), 0, 10000, NULL,
     "with --routing: typical tokens of an expert (default 10)"},
    {"experts", 0, NULL, "N", OPTION_INT, AT(routing.n_experts), 0, 131072, NULL,
     "with --routing: experts to list in each layer, those with most tokens first (default 32)"},
    {"to", 0, NULL, "LANGUAGE", OPTION_STRING, AT(routing.language), 0, 0, NULL,
     "with --routing: language of TARGET, for a model with several (data.languages)"},
    {"device", 0, NULL, "NAME", OPTION_STRING, AT(routing.device), 0, 0, NULL,
     "with --routing: what computes: cpu, ref, cuda, cuda:N or auto (default auto)"},
    {"threads", 0, NULL, "N", OPTION_INT, AT(routing.threads), 0, 1024, NULL,
     "with --routing: threads (default 0: all cores)"},
};

static const struct options_command command = {
    .verb = "info",
    .arguments = "MODEL [TEXT [TARGET]]",
    .description = "Describes a model: a run directory (its best model) or a .safetensors file. "
                   "TEXT and TARGET are for --routing.",
    .options = table,
    .n_options = sizeof table / sizeof *table,
    .min_arguments = 1,
    .max_arguments = 3,
};

static void print_tensors(const struct safetensors *file)
{
    for (size_t i = 0; i < safetensors_count(file); i++) {
        const struct safetensors_tensor *tensor = safetensors_get(file, i);
        printf("%s %s [", tensor->name, safetensors_type_name(tensor->type));
        for (int d = 0; d < tensor->rank; d++)
            printf("%s%" PRId64, d ? ", " : "", tensor->dim[d]);
        printf("]\n");
    }
}

static uint64_t count_numbers(const struct safetensors *file)
{
    uint64_t numbers = 0;
    for (size_t i = 0; i < safetensors_count(file); i++) {
        const struct safetensors_tensor *tensor = safetensors_get(file, i);
        numbers += tensor->size / safetensors_type_size(tensor->type);
    }
    return numbers;
}

static void print_numbers(const struct safetensors *file, const struct shards *shards)
{
    uint64_t numbers = count_numbers(file);
    size_t tensors = safetensors_count(file);
    for (size_t i = 0; i < shards_count(shards); i++) {
        numbers += count_numbers(shards_get(shards, i));
        tensors += safetensors_count(shards_get(shards, i));
    }
    printf("numbers: %" PRIu64 " in %zu tensors\n", numbers, tensors);
    if (shards)
        printf("shards: %zu, beside it\n", shards_count(shards));
}

static void print_summary(const struct safetensors *file, const struct shards *shards,
                          const char *path, const struct config *config,
                          const struct subword *subword)
{
    const struct config_model *model = &config->model;
    const char *step = safetensors_metadata(file, "step");
    printf("file: %s\n", path);
    printf("kind: %s%s\n", model->type == CONFIG_MODEL_LM ? "language model" : "translator",
           step ? ", checkpoint (weights and training state)" : "");
    if (step)
        printf("step: %s\n", step);
    if (model->dtype == CONFIG_DTYPE_INT8)
        printf("type: matrices in int8\n");
    print_numbers(file, shards);
    printf("vocabulary: %" PRId32 " pieces\n", subword_size(subword));
    for (int64_t i = 0; i < config->data.languages.n; i++)
        printf("%s%s%s", i ? ", " : "languages: ", config->data.languages.name[i],
               i + 1 < config->data.languages.n ? "" : "\n");
    printf("width: %" PRId64 "\n", model->dim);
    printf("encoder: %" PRId64 " LSTM layers of %" PRId64 " cells%s\n", model->encoder.layers,
           model->encoder.hidden,
           model->encoder.bidirectional == CONFIG_BIDIRECTIONAL_FIRST
               ? ", the first in both directions"
               : "");
    if (model->type != CONFIG_MODEL_LM)
        printf("decoder: %" PRId64 " LSTM layers of %" PRId64 " cells\n", model->decoder.layers,
               model->decoder.hidden);
    for (int64_t l = 1; l <= model->encoder.layers; l++)
        if (model->moe.after.encoder[l])
            printf("mixture: after encoder.%" PRId64 ", %" PRId64 " experts, top %" PRId64 "\n", l,
                   config_moe_experts(&model->moe), model->moe.top_k.value[0]);
    for (int64_t l = 1; l <= model->decoder.layers; l++)
        if (model->moe.after.decoder[l])
            printf("mixture: after decoder.%" PRId64 ", %" PRId64 " experts, top %" PRId64 "\n", l,
                   config_moe_experts(&model->moe), model->moe.top_k.value[0]);
}

static enum status print_config(const struct config *config)
{
    struct buffer text = {0};
    const enum status status = config_write(config, CONFIG_PART_PORTABLE, &text);
    if (status >= 0)
        fwrite(text.data, 1, text.size, stdout);
    buffer_free(&text);
    return status;
}

static enum status run(const struct info_options *options, const char *model)
{
    struct buffer path = {0};
    struct safetensors *file = NULL;
    struct shards *shards = NULL;
    struct subword *subword = NULL;
    struct config *config = malloc(sizeof *config);
    enum status status = config ? STATUS_OK : status_set(STATUS_MEMORY, "no memory");
    if (status >= 0)
        status = model_find(model, &path);
    if (status >= 0)
        status = safetensors_open(&file, path.data);
    if (status >= 0)
        status = model_read_head(file, path.data, config, &subword);
    if (status >= 0 && safetensors_metadata(file, SHARDS_KEY))
        status = shards_open(&shards, path.data, safetensors_metadata(file, SHARDS_KEY));
    if (status >= 0 && options->wants_check)
        status = safetensors_verify(file);
    for (size_t i = 0; status >= 0 && options->wants_check && i < shards_count(shards); i++)
        status = safetensors_verify(shards_get(shards, i));
    if (status >= 0 && options->wants_config)
        status = print_config(config);
    if (status >= 0 && options->wants_tensors)
        print_tensors(file);
    for (size_t i = 0; status >= 0 && options->wants_tensors && i < shards_count(shards); i++)
        print_tensors(shards_get(shards, i));
    if (status >= 0 && !options->wants_config && !options->wants_tensors)
        print_summary(file, shards, path.data, config, subword);
    if (status >= 0 && options->wants_check)
        printf("check: all tensors agree with their hashes\n");
    subword_free(subword);
    shards_close(shards);
    safetensors_close(file);
    free(config);
    buffer_free(&path);
    return status;
}

/* Which of the two the command line asks for, and does it. */
static enum status dispatch(const struct info_options *options, const struct option_list *arguments)
{
    if (!options->wants_routing && arguments->count > 1)
        return status_set(STATUS_USAGE, "info takes one model and, without --routing, no '%s'",
                          arguments->items[1]);
    if (!options->wants_routing && (options->routing.wants_json || options->routing.plot))
        return status_set(STATUS_USAGE, "options --json and --plot belong to --routing");
    if (!options->wants_routing)
        return run(options, arguments->items[0]);
    if (arguments->count < 2)
        return status_set(STATUS_USAGE, "info --routing needs a text beside the model");
    if (options->wants_tensors || options->wants_config || options->wants_check)
        return status_set(STATUS_USAGE,
                          "option --routing goes with none of --tensors, --config and --check");
    return routing_run(&options->routing, arguments->items[0], arguments->items + 1,
                       arguments->count - 1);
}

int info_main(int argc, char **argv)
{
    struct info_options options = {.routing = {.n_top = 10, .n_experts = 32, .device = "auto"}};
    struct option_list arguments = {0};
    int code = options_start(&command, argc, argv, &options, &arguments);
    if (code >= 0)
        return code;
    const enum status status = dispatch(&options, &arguments);
    options_free(&command, &options, &arguments);
    return status_finish(status);
}
