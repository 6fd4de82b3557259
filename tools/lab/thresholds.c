/* mixt lab thresholds: do a balanced gate's thresholds choose as its training does? */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "moe/threshold.h"
#include "tools/footer.h"
#include "tools/lab/reading.h"
#include "tools/lab/verbs.h"

struct thresholds_options {
    struct reading_options reading;
    int64_t tokens;
    bool wants_json;
};

#define AT(member) offsetof(struct thresholds_options, member)

static const struct option table[] = {
    {"model", 'm', NULL, "MODEL", OPTION_STRING, AT(reading.model), 0, 0, NULL,
     "run directory (its best model) or .safetensors file"},
    {"tokens", 0, NULL, "N", OPTION_INT, AT(tokens), 1, 10000000, NULL,
     "tokens that are balanced together (default: 65536)"},
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
    .verb = "lab thresholds",
    .arguments = "SOURCE [TARGET]",
    .description =
        "Reads text with a model whose gates are balanced, and chooses the experts of each "
        "mixture's tokens twice: by thresholds, as in translating, and as in training, where "
        "every expert takes the same number of the tokens read together. Prints for each layer "
        "how many tokens have the same experts both ways, in percent, and how many of the single "
        "decisions, a token and an expert, agree. Where tokens tie for an expert's last places, "
        "either decision about them agrees. Without TARGET the decoder's layers are left "
        "out; a language model reads one text.",
    .options = table,
    .n_options = sizeof table / sizeof *table,
    .min_arguments = 1,
    .max_arguments = 2,
};

struct agreement {
    int64_t tokens;
    int64_t the_same;  /* tokens with the same experts both ways */
    int64_t different; /* decisions, of tokens x experts, that differ */
};

struct thresholds {
    const struct thresholds_options *options;
    struct reading reading;
    struct buffer inputs[READING_MAX_LAYERS]; /* [tokens, D] f32 waiting; owned */
    struct agreement agreements[READING_MAX_LAYERS];
};

static bool is_balanced(const struct moe *moe)
{
    for (int64_t l = 0; l < moe->config.n_levels; l++)
        if (moe->config.gate[l].kind != GATE_BALANCED)
            return false;
    return true;
}

static enum status check_gates(const struct thresholds *thresholds)
{
    const struct reading *reading = &thresholds->reading;
    for (int64_t l = 0; l < reading->n_layers; l++)
        if (!is_balanced(reading->layers[l]))
            return status_set(STATUS_CONFIG,
                              "%s: the gates of %s are not balanced, so they have "
                              "no thresholds",
                              thresholds->options->reading.model, reading->layers[l]->name);
    return STATUS_OK;
}

/* A level's scores on the host: of its rows [R, E], and where each group's rows start [G+1]. */
struct scores {
    int64_t n_experts;   /* E, of one group */
    const float *p;      /* [R, E] */
    const int32_t *mask; /* [R, E] the batch's choice */
    const int32_t *starts;
    const int32_t *tokens; /* [R] behind the rows; NULL: the rows are the tokens */
};

/* Choices of tokens x [N, D], sorted by expert: where each expert's start, and their tokens. */
struct choices {
    int32_t *offsets, *tokens;
    struct scores scores[MOE_MAX_LEVELS];
};

static void *on_host(const struct pass *pass, const struct tensor *tensor)
{
    const size_t size = (size_t)tensor_count(tensor) * dtype_size(tensor->dtype);
    void *host = arena_take(pass->host, size);
    pass->backend->ops->download(pass->backend, host, tensor, size);
    return host;
}

static struct scores scores_of(const struct moe *moe, const struct pass *pass,
                               const struct moe_record *record, int64_t l)
{
    const struct gate_record *gate = &record->level[l].gate;
    int32_t *all = arena_take(pass->host, 2 * sizeof *all);
    all[0] = 0;
    all[1] = (int32_t)gate->p.dim[0];
    return (struct scores){.n_experts = moe->config.gate[l].n_experts,
                           .p = on_host(pass, &gate->p),
                           .mask = on_host(pass, &gate->mask),
                           .starts = l > 0 ? on_host(pass, &gate->gating.groups) : all,
                           .tokens = l > 0 ? on_host(pass, &record->level[0].rows) : NULL};
}

static struct choices choose(const struct moe *moe, const struct pass *pass, const struct tensor *x)
{
    const struct sequence all = {0};
    struct moe_record *record = arena_take_zeroed(pass->host, sizeof *record);
    struct tensor tokens, weights;
    const struct tensor y = tensor_like(pass->arena, x);
    moe_forward(moe, pass, record, &y, x, &all, 0);
    moe_choices(moe, pass, record, &tokens, &weights);
    struct choices choices = {.offsets = on_host(pass, moe_offsets(moe, record)),
                              .tokens = on_host(pass, &tokens)};
    for (int64_t l = 0; l < moe->config.n_levels; l++)
        choices.scores[l] = scores_of(moe, pass, record, l);
    return choices;
}

/* Marks the tokens that tie for the last place of expert e of a level, its groups' counted on. */
static void mark_ties(const struct scores *scores, int64_t e, bool *is_tied)
{
    const int64_t n_experts = scores->n_experts;
    const int32_t *group = scores->starts + e / n_experts;
    double last = INFINITY;
    e %= n_experts;
    for (int64_t n = group[0]; n < group[1]; n++)
        if (scores->mask[n * n_experts + e])
            last = fmin(last, (double)scores->p[n * n_experts + e]);
    for (int64_t n = group[0]; n < group[1]; n++)
        if (fabs((double)scores->p[n * n_experts + e] - last) <= THRESHOLD_TIE * last)
            is_tied[scores->tokens ? scores->tokens[n] : n] = true;
}

/* Marks the tokens that training's choice may as well give expert e as not. */
static void mark_all_ties(const struct moe *moe, const struct choices *choices, int64_t e,
                          bool *is_tied)
{
    const int64_t last = moe->config.n_levels - 1;
    mark_ties(&choices->scores[last], e, is_tied);
    if (last > 0)
        mark_ties(&choices->scores[0], e / moe->config.gate[last].n_experts, is_tied);
}

/* Counts tokens that one way gives expert e and the other does not, but for tied ones; both lists
 * ascend. */
static int64_t compare_expert(const struct choices *a, const struct choices *b, int64_t e,
                              const bool *is_tied, bool *is_different)
{
    int32_t i = a->offsets[e], j = b->offsets[e];
    int64_t different = 0;
    while (i < a->offsets[e + 1] || j < b->offsets[e + 1]) {
        const int32_t first = i < a->offsets[e + 1] ? a->tokens[i] : INT32_MAX;
        const int32_t second = j < b->offsets[e + 1] ? b->tokens[j] : INT32_MAX;
        const int32_t token = first < second ? first : second;
        i += first <= second;
        j += second <= first;
        if (first == second || is_tied[token])
            continue;
        is_different[token] = true;
        different++;
    }
    return different;
}

/* Chooses both ways for what waits at layer l, and forgets it. */
static enum status compare(struct thresholds *thresholds, int64_t l)
{
    struct reading *reading = &thresholds->reading;
    const struct moe *moe = reading->layers[l];
    struct buffer *inputs = &thresholds->inputs[l];
    struct agreement *agreement = &thresholds->agreements[l];
    struct pass pass = reading_pass(reading);
    const struct pass_mark mark = pass_mark(&pass);
    const int64_t dim = reading->model.config.model.dim;
    const int64_t n_tokens = (int64_t)(inputs->size / ((size_t)dim * sizeof(float)));
    const struct tensor x = pass_3d(&pass, n_tokens, 1, dim);
    pass.backend->ops->upload(pass.backend, &x, inputs->data, inputs->size);
    const struct choices used = choose(moe, &pass, &x);
    pass.is_training = true;
    const struct choices wanted = choose(moe, &pass, &x);
    const enum status status = backend_sync(pass.backend);
    bool *is_different = arena_take_zeroed(pass.host, (size_t)n_tokens * sizeof(bool));
    bool *is_tied = arena_take(pass.host, (size_t)n_tokens * sizeof(bool));
    for (int64_t e = 0; e < moe->n_experts && status >= 0; e++) {
        memset(is_tied, 0, (size_t)n_tokens * sizeof(bool));
        mark_all_ties(moe, &wanted, e, is_tied);
        agreement->different += compare_expert(&used, &wanted, e, is_tied, is_different);
    }
    for (int64_t n = 0; n < n_tokens; n++)
        agreement->the_same += !is_different[n];
    agreement->tokens += n_tokens;
    buffer_clear(inputs);
    pass_release(&pass, mark);
    return status;
}

/* Keeps each layer's inputs; compares where enough wait. */
static enum status keep_batch(struct thresholds *thresholds)
{
    struct reading *reading = &thresholds->reading;
    const size_t row_bytes = (size_t)reading->model.config.model.dim * sizeof(float);
    const size_t enough = (size_t)thresholds->options->tokens * row_bytes;
    enum status status = STATUS_OK;
    for (int64_t l = 0; l < reading->n_layers && status >= 0; l++) {
        struct buffer *inputs = &thresholds->inputs[l];
        const struct tensor *x = &reading_record(reading, l)->x;
        const size_t size = (size_t)tensor_count(x) * sizeof(float);
        status = buffer_reserve(inputs, size);
        if (status < 0)
            return status;
        reading->backend.ops->download(&reading->backend, inputs->data + inputs->size, x, size);
        inputs->size += size;
        if (inputs->size >= enough)
            status = compare(thresholds, l);
    }
    return status;
}

static double same_percent(const struct agreement *agreement)
{
    return agreement->tokens ? 100 * (double)agreement->the_same / (double)agreement->tokens : 0;
}

static double decisions_percent(const struct agreement *agreement, int64_t n_experts)
{
    const double decisions = (double)agreement->tokens * (double)n_experts;
    return decisions > 0 ? 100 * (1 - (double)agreement->different / decisions) : 0;
}

static void print_table(const struct thresholds *thresholds)
{
    printf("%-16s  %8s  %8s  %11s\n", "layer", "tokens", "same %", "decisions %");
    for (int64_t l = 0; l < thresholds->reading.n_layers; l++) {
        const struct agreement *agreement = &thresholds->agreements[l];
        const struct moe *moe = thresholds->reading.layers[l];
        printf("%-16s  %8" PRId64 "  %8.3f  %11.3f\n", moe->name, agreement->tokens,
               same_percent(agreement), decisions_percent(agreement, moe->n_experts));
    }
}

static enum status print_json(const struct thresholds *thresholds)
{
    json_t *rows = json_array();
    bool is_good = rows != NULL;
    for (int64_t l = 0; l < thresholds->reading.n_layers && is_good; l++) {
        const struct agreement *agreement = &thresholds->agreements[l];
        const struct moe *moe = thresholds->reading.layers[l];
        json_t *row =
            json_pack("{s:s, s:I, s:f, s:f}", "layer", moe->name, "tokens",
                      (json_int_t)agreement->tokens, "same_percent", same_percent(agreement),
                      "decisions_percent", decisions_percent(agreement, moe->n_experts));
        is_good = json_array_append_new(rows, row) == 0;
    }
    char *text = is_good ? json_dumps(rows, JSON_INDENT(2) | JSON_REAL_PRECISION(8)) : NULL;
    if (text)
        printf("%s\n", text);
    free(text);
    json_decref(rows);
    return text ? STATUS_OK : status_set(STATUS_MEMORY, "lab: no memory for JSON");
}

static enum status run(struct thresholds *thresholds, const struct option_list *texts)
{
    const double start_s = clock_seconds();
    struct reading *reading = &thresholds->reading;
    size_t n = 1;
    enum status status = reading_open(reading, &thresholds->options->reading, texts);
    if (status >= 0)
        status = check_gates(thresholds);
    while (status >= 0 && n > 0) {
        status = reading_next(reading, &n);
        if (status >= 0 && n > 0)
            status = keep_batch(thresholds);
    }
    for (int64_t l = 0; l < reading->n_layers && status >= 0; l++)
        if (thresholds->inputs[l].size > 0)
            status = compare(thresholds, l);
    if (status >= 0 && thresholds->options->wants_json)
        status = print_json(thresholds);
    else if (status >= 0)
        print_table(thresholds);
    if (status >= 0)
        footer_print(start_s, "");
    return status;
}

int lab_thresholds_main(int argc, char **argv)
{
    struct thresholds_options options = {.reading = {.device = "auto"}, .tokens = 65536};
    struct option_list texts = {0};
    const int code = options_start(&command, argc, argv, &options, &texts);
    if (code >= 0)
        return code;
    struct thresholds *thresholds = calloc(1, sizeof *thresholds);
    enum status status = STATUS_OK;
    if (thresholds) {
        thresholds->options = &options;
        status = run(thresholds, &texts);
        for (int64_t l = 0; l < READING_MAX_LAYERS; l++)
            buffer_free(&thresholds->inputs[l]);
        reading_free(&thresholds->reading);
    } else {
        status = status_set(STATUS_MEMORY, "no memory to compare choices");
    }
    free(thresholds);
    options_free(&command, &options, &texts);
    return status_finish(status);
}
