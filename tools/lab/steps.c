/* mixt lab steps: how discontinuous the routing of a trained model is. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "tools/footer.h"
#include "tools/lab/jump.h"
#include "tools/lab/reading.h"
#include "tools/lab/verbs.h"
#include "tools/options.h"

struct steps_options {
    struct reading_options reading;
    double size;
    int64_t seed;
    bool wants_json;
};

#define AT(member) offsetof(struct steps_options, member)

static const struct option table[] = {
    {"model", 'm', NULL, "MODEL", OPTION_STRING, AT(reading.model), 0, 0, NULL,
     "run directory (its best model) or .safetensors file"},
    {"size", 0, NULL, "NUMBER", OPTION_DOUBLE, AT(size), 0, 1000, NULL,
     "length of a step, as a part of the length of the input (default: 0.01)"},
    {"seed", 0, NULL, "N", OPTION_INT, AT(seed), 0, INFINITY, NULL,
     "of the steps' directions (default: 1)"},
    {"to", 0, NULL, "LANGUAGE", OPTION_STRING, AT(reading.language), 0, 0, NULL,
     "language of TARGET, for a model with several (data.languages)"},
    {"json", 0, NULL, NULL, OPTION_FLAG, AT(wants_json), 0, 0, NULL, "print JSON, not a table"},
    {"threads", 't', NULL, "N", OPTION_INT, AT(reading.threads), 0, 1024, NULL,
     "threads (default 0: all cores)"},
    {"device", 0, NULL, "NAME", OPTION_STRING, AT(reading.device), 0, 0, NULL,
     "what computes: cpu, ref, cuda or cuda:N for GPU N, auto: a GPU where there is one (default "
     "auto)"},
};

static const struct options_command command = {
    .verb = "lab steps",
    .arguments = "SOURCE [TARGET]",
    .description =
        "Reads text with a model, as in translating: without noise. Before each mixture of experts "
        "every token's input takes a small step in a random direction. Prints for each layer the "
        "share of the tokens that the step sends to other experts, in percent, and by how much it "
        "moves the mixture's output, as a part of the output's length: where the experts changed, "
        "and where they did not. Without TARGET the decoder's layers are left out; a language "
        "model reads one text.",
    .options = table,
    .n_options = sizeof table / sizeof *table,
    .min_arguments = 1,
    .max_arguments = 2,
};

enum { STREAM_STEPS = 300 };

struct steps {
    const struct steps_options *options;
    struct reading reading;
    struct jump_tally tallies[READING_MAX_LAYERS];
};

static enum status measure_batch(struct steps *steps)
{
    struct reading *reading = &steps->reading;
    const struct pass pass = reading_pass(reading);
    enum status status = STATUS_OK;
    for (int64_t l = 0; l < reading->n_layers && status >= 0; l++) {
        const struct random_key key = {
            .seed = (uint64_t)steps->options->seed, .step = (uint32_t)l, .stream = STREAM_STEPS};
        status = jump_measure(reading->layers[l], &pass, reading_record(reading, l),
                              reading_sequence(reading, l), steps->options->size, key,
                              &steps->tallies[l]);
    }
    return status;
}

static double changed_percent(const struct jump_tally *tally)
{
    return tally->tokens ? 100 * (double)tally->changed / (double)tally->tokens : 0;
}

/* Mean; NaN of none. */
static double mean_of(const struct jumps *jumps)
{
    return jumps->sum / (double)jumps->count;
}

static void print_jump(const struct jumps *jumps)
{
    if (jumps->count > 0)
        printf("  %10.5f", mean_of(jumps));
    else
        printf("  %10s", "-");
}

static void print_table(const struct steps *steps)
{
    printf("%-16s  %8s  %9s  %10s  %10s\n", "layer", "tokens", "changed %", "jump there",
           "elsewhere");
    for (int64_t l = 0; l < steps->reading.n_layers; l++) {
        const struct jump_tally *tally = &steps->tallies[l];
        printf("%-16s  %8" PRId64 "  %9.3f", steps->reading.layers[l]->name, tally->tokens,
               changed_percent(tally));
        print_jump(&tally->other);
        print_jump(&tally->the_same);
        printf("\n");
    }
}

static json_t *jump_json(const struct jumps *jumps)
{
    return jumps->count > 0 ? json_real(mean_of(jumps)) : json_null();
}

static enum status print_json(const struct steps *steps)
{
    json_t *rows = json_array();
    bool is_good = rows != NULL;
    for (int64_t l = 0; l < steps->reading.n_layers && is_good; l++) {
        const struct jump_tally *tally = &steps->tallies[l];
        is_good =
            json_array_append_new(
                rows,
                json_pack("{s:s, s:f, s:I, s:f, s:o, s:o}", "layer", steps->reading.layers[l]->name,
                          "size", steps->options->size, "tokens", (json_int_t)tally->tokens,
                          "changed_percent", changed_percent(tally), "jump_changed",
                          jump_json(&tally->other), "jump_same", jump_json(&tally->the_same))) == 0;
    }
    char *text = is_good ? json_dumps(rows, JSON_INDENT(2) | JSON_REAL_PRECISION(8)) : NULL;
    if (text)
        printf("%s\n", text);
    free(text);
    json_decref(rows);
    return text ? STATUS_OK : status_set(STATUS_MEMORY, "lab: no memory for JSON");
}

static enum status run(struct steps *steps, const struct option_list *texts)
{
    const double start_s = clock_seconds();
    size_t n = 1;
    enum status status = reading_open(&steps->reading, &steps->options->reading, texts);
    while (status >= 0 && n > 0) {
        status = reading_next(&steps->reading, &n);
        if (status >= 0 && n > 0)
            status = measure_batch(steps);
    }
    if (status >= 0 && steps->options->wants_json)
        status = print_json(steps);
    else if (status >= 0)
        print_table(steps);
    if (status >= 0)
        footer_print(start_s, "");
    return status;
}

int lab_steps_main(int argc, char **argv)
{
    struct steps_options options = {.reading = {.device = "auto"}, .size = 0.01, .seed = 1};
    struct option_list texts = {0};
    const int code = options_start(&command, argc, argv, &options, &texts);
    if (code >= 0)
        return code;
    struct steps *steps = calloc(1, sizeof *steps);
    enum status status = STATUS_OK;
    if (steps) {
        steps->options = &options;
        status = run(steps, &texts);
        reading_free(&steps->reading);
    } else {
        status = status_set(STATUS_MEMORY, "no memory to take steps");
    }
    free(steps);
    options_free(&command, &options, &texts);
    return status_finish(status);
}
