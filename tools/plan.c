/* mixt plan: what a configuration costs, before anything runs. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "model/plan_time.h"
#include "tools/options.h"
#include "tools/verbs.h"

enum { MAX_RANK_COUNTS = 32 };

struct plan_options {
    const char *config_path;
    const char *ranks;
    bool wants_json;
    struct plan_machine machine;
};

#define AT(member) offsetof(struct plan_options, member)

static const struct option table[] = {
    {"config", 'c', NULL, "FILE", OPTION_STRING, AT(config_path), 0, 0, NULL,
     "YAML file with the settings"},
    {"ranks", 'r', NULL, "N[,N...]", OPTION_STRING, AT(ranks), 0, 0, NULL,
     "memory of each of N ranks, which share the experts and have all else (default: 1)"},
    {"bandwidth", 0, NULL, "BYTES", OPTION_DOUBLE, AT(machine.bandwidth), 1, INFINITY, NULL,
     "also the time of an update on so many ranks: bytes a second that a rank sends, such as 12e9; "
     "'mixt bench comm' measures it"},
    {"latency", 0, NULL, "SECONDS", OPTION_DOUBLE, AT(machine.latency_s), 0, 1, NULL,
     "of a message (default 5e-6)"},
    {"node", 0, NULL, "N", OPTION_INT, AT(machine.node), 1, 1e6, NULL,
     "ranks of a node, where tokens travel inside nodes first (default 1: all at once)"},
    {"flops", 0, NULL, "N", OPTION_DOUBLE, AT(machine.flops), 1, INFINITY, NULL,
     "operations a second of a rank's products (default 1e12); see 'mixt bench train'"},
    {"memory", 0, NULL, "BYTES", OPTION_DOUBLE, AT(machine.memory), 0, INFINITY, NULL,
     "bytes a second of a rank's memory, for the optimiser (default 0: not counted)"},
    {"json", 0, NULL, NULL, OPTION_FLAG, AT(wants_json), 0, 0, NULL, "print JSON"},
};

static const struct options_command command = {
    .verb = "plan",
    .arguments = "[SECTION.KEY=VALUE...]",
    .description =
        "Prints, part by part, how many parameters a configuration has and how many multiply-adds "
        "a token takes, and how much memory training and decoding need. The vocabulary is taken "
        "to have data.subword.size pieces. Nothing is trained or allocated.\n"
        "With --bandwidth also how long an update of train.batch_tokens times train.accumulate "
        "tokens takes on each number of ranks, by its products, the optimiser's memory, the "
        "exchange of tokens with experts elsewhere and the sum of gradients, one after the other.",
    .options = table,
    .n_options = sizeof table / sizeof *table,
    .max_arguments = 1000,
};

struct rank_counts {
    int64_t count[MAX_RANK_COUNTS];
    size_t n;
};

/* Reads "1,8,64"; text NULL: one rank. */
static enum status read_ranks(struct rank_counts *ranks, const char *text)
{
    *ranks = (struct rank_counts){.count = {1}, .n = 1};
    if (!text)
        return STATUS_OK;
    ranks->n = 0;
    for (const char *rest = text;;) {
        char *end;
        errno = 0;
        const long long count = strtoll(rest, &end, 10);
        if (end == rest || errno || count < 1 || count > 1000000 || (*end && *end != ','))
            return status_set(STATUS_USAGE,
                              "option --ranks wants numbers from 1 to 1000000 with commas between "
                              "them, not '%s'",
                              text);
        if (ranks->n == MAX_RANK_COUNTS)
            return status_set(STATUS_USAGE, "option --ranks takes at most %d numbers",
                              MAX_RANK_COUNTS);
        ranks->count[ranks->n++] = count;
        if (*end == '\0')
            return STATUS_OK;
        rest = end + 1;
    }
}

/* -- the sums that both formats show -- */

struct sums {
    int64_t parameters, words, experts, gates;
    double layers, gating, expert_work, softmax; /* multiply-adds of a timestep: both sides */
};

static double both_sides(const struct plan *plan, enum plan_kind kind)
{
    return plan_work(plan, kind, PLAN_SOURCE) + plan_work(plan, kind, PLAN_TARGET);
}

static struct sums sum_up(const struct plan *plan)
{
    struct sums sums = {.words = plan_parameters(plan, PLAN_EMBEDDING) +
                                 plan_parameters(plan, PLAN_SOFTMAX),
                        .experts = plan_parameters(plan, PLAN_EXPERTS),
                        .gates = plan_parameters(plan, PLAN_GATE),
                        .layers = both_sides(plan, PLAN_LAYER),
                        .gating = both_sides(plan, PLAN_GATE),
                        .expert_work = both_sides(plan, PLAN_EXPERTS),
                        .softmax = both_sides(plan, PLAN_SOFTMAX)};
    sums.parameters = sums.words + sums.experts + sums.gates + plan_parameters(plan, PLAN_LAYER);
    return sums;
}

/* -- text -- */

/* "8.69 billion" beside a long number. */
static void print_count(const char *label, double count)
{
    const double scale = count >= 1e9 ? 1e9 : 1e6;
    printf("%-38s %15.0f", label, count);
    if (count >= 1e6)
        printf("  (%.2f %s)", count / scale, scale == 1e9 ? "billion" : "million");
    printf("\n");
}

static void print_parts(const struct plan *plan, bool is_lm)
{
    printf("%-24s %15s %15s", "", "parameters", is_lm ? "per token" : "per source");
    printf(is_lm ? "\n" : " %15s\n", "per target");
    for (int64_t i = 0; i < plan->n_parts; i++) {
        const struct plan_part *part = &plan->part[i];
        printf("%-24s %15" PRId64 " %15.0f", part->name, part->parameters, part->work[PLAN_SOURCE]);
        if (!is_lm)
            printf(" %15.0f", part->work[PLAN_TARGET]);
        printf("\n");
    }
    printf("\n");
}

static void print_memory(const char *purpose, int64_t ranks, const struct plan_memory *memory)
{
    const double mib = 1024.0 * 1024.0;
    printf("%-8s %6" PRId64 " %9.0f %9.0f %9.0f %9.0f %9.0f %11.0f %9.0f\n", purpose, ranks,
           memory->values / mib, memory->gradients / mib, memory->moments / mib,
           memory->averages / mib, memory->packed / mib, memory->activations / mib,
           plan_memory_total(memory) / mib);
}

static void print_times(const struct plan *plan, const struct config *config,
                        const struct rank_counts *ranks, const struct plan_machine *machine)
{
    printf("\nms an update %11s %9s %9s %9s %9s %11s %11s\n", "products", "optimiser", "exchange",
           "gradients", "together", "tokens/s", "sent, MiB");
    for (size_t i = 0; i < ranks->n; i++) {
        const struct plan_time time = plan_time(plan, config, ranks->count[i], machine);
        printf("ranks %6" PRId64 " %11.1f %9.1f %9.1f %9.1f %9.1f %11.0f %11.0f\n", ranks->count[i],
               1e3 * time.compute_s, 1e3 * time.update_s, 1e3 * time.exchange_s,
               1e3 * time.reduce_s, 1e3 * plan_time_total(&time), time.tokens_a_second,
               (time.exchange_bytes + time.reduce_bytes) / (1024.0 * 1024.0));
    }
}

static void print_text(const struct plan *plan, const struct config *config,
                       const struct rank_counts *ranks, const struct plan_machine *machine)
{
    const struct sums sums = sum_up(plan);
    const bool is_lm = config->model.type == CONFIG_MODEL_LM;
    print_parts(plan, is_lm);
    print_count("parameters", (double)sums.parameters);
    print_count("  without embedding and softmax", (double)(sums.parameters - sums.words));
    print_count("  experts", (double)sums.experts);
    print_count("  gates", (double)sums.gates);
    print_count(is_lm ? "multiply-adds a token, without softmax" : "multiply-adds a timestep *",
                sums.layers + sums.gating + sums.expert_work);
    print_count("  LSTM, attention and readout layers", sums.layers);
    print_count("  gates", sums.gating);
    print_count("  experts", sums.expert_work);
    print_count("softmax, beside these", sums.softmax);
    if (!is_lm)
        printf("* of one source and one target token, without softmax and without attention's\n"
               "  %.0f for every pair of a source and a target position\n",
               plan->pair_work);
    printf("\nMiB a rank %13s %9s %9s %9s %9s %11s %9s\n", "values", "gradients", "moments",
           "averages", "packed", "activations", "together");
    for (size_t i = 0; i < ranks->n; i++) {
        const struct plan_memory memory = plan_training(plan, config, ranks->count[i]);
        print_memory("training", ranks->count[i], &memory);
    }
    for (size_t i = 0; i < ranks->n; i++) {
        const struct plan_memory memory = plan_decoding(plan, config, ranks->count[i]);
        print_memory("decoding", ranks->count[i], &memory);
    }
    if (machine->bandwidth > 0)
        print_times(plan, config, ranks, machine);
}

/* -- JSON; a NULL anywhere makes the whole NULL, and jansson gives the rest back -- */

static json_t *json_of_memory(const struct plan_memory *memory)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "values", memory->values, "gradients",
                     memory->gradients, "moments", memory->moments, "averages", memory->averages,
                     "packed", memory->packed, "activations", memory->activations, "total",
                     plan_memory_total(memory));
}

static json_t *json_of_parts(const struct plan *plan)
{
    json_t *parts = json_array();
    for (int64_t i = 0; parts && i < plan->n_parts; i++) {
        const struct plan_part *part = &plan->part[i];
        json_t *item =
            json_pack("{s:s, s:I, s:f, s:f}", "name", part->name, "parameters",
                      (json_int_t)part->parameters, "source_multiply_adds", part->work[PLAN_SOURCE],
                      "target_multiply_adds", part->work[PLAN_TARGET]);
        if (json_array_append_new(parts, item) < 0) {
            json_decref(parts);
            return NULL;
        }
    }
    return parts;
}

static json_t *json_of_ranks(const struct plan *plan, const struct config *config,
                             const struct rank_counts *ranks)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < ranks->n; i++) {
        const int64_t count = ranks->count[i];
        const struct plan_memory training = plan_training(plan, config, count);
        const struct plan_memory decoding = plan_decoding(plan, config, count);
        json_t *item = json_pack("{s:I, s:o, s:o}", "ranks", (json_int_t)count, "training",
                                 json_of_memory(&training), "decoding", json_of_memory(&decoding));
        if (json_array_append_new(list, item) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *json_of_times(const struct plan *plan, const struct config *config,
                             const struct rank_counts *ranks, const struct plan_machine *machine)
{
    json_t *list = json_array();
    for (size_t i = 0; list && machine->bandwidth > 0 && i < ranks->n; i++) {
        const struct plan_time time = plan_time(plan, config, ranks->count[i], machine);
        json_t *item =
            json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "ranks",
                      (json_int_t)ranks->count[i], "compute", time.compute_s, "update",
                      time.update_s, "exchange", time.exchange_s, "reduce", time.reduce_s, "total",
                      plan_time_total(&time), "exchange_bytes", time.exchange_bytes, "reduce_bytes",
                      time.reduce_bytes, "tokens_a_second", time.tokens_a_second);
        if (json_array_append_new(list, item) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static enum status print_json(const struct plan *plan, const struct config *config,
                              const struct rank_counts *ranks, const struct plan_machine *machine)
{
    const struct sums sums = sum_up(plan);
    json_t *root = json_pack(
        "{s:s, s:{s:I, s:I, s:I, s:I}, s:{s:f, s:f, s:f, s:f, s:f, s:f}, s:o, s:o, s:o}", "name",
        config->name, "parameters", "total", (json_int_t)sums.parameters,
        "without_embedding_and_softmax", (json_int_t)(sums.parameters - sums.words), "experts",
        (json_int_t)sums.experts, "gates", (json_int_t)sums.gates, "multiply_adds", "timestep",
        sums.layers + sums.gating + sums.expert_work, "layers", sums.layers, "gates", sums.gating,
        "experts", sums.expert_work, "softmax", sums.softmax, "attention_pair", plan->pair_work,
        "parts", json_of_parts(plan), "memory_bytes", json_of_ranks(plan, config, ranks),
        "update_seconds", json_of_times(plan, config, ranks, machine));
    if (!root)
        return status_set(STATUS_MEMORY, "no memory for the JSON text");
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    printf("\n");
    json_decref(root);
    return STATUS_OK;
}

static enum status run(const struct plan_options *options, const struct option_list *assignments)
{
    struct rank_counts ranks;
    enum status status = read_ranks(&ranks, options->ranks);
    if (status < 0)
        return status;
    struct config *config = malloc(sizeof *config);
    struct plan *plan = malloc(sizeof *plan);
    if (!config || !plan)
        status = status_set(STATUS_MEMORY, "no memory for the configuration");
    else
        status = config_read(config, options->config_path, assignments->items, assignments->count);
    if (status >= 0) {
        plan_make(plan, config);
        if (options->wants_json)
            status = print_json(plan, config, &ranks, &options->machine);
        else
            print_text(plan, config, &ranks, &options->machine);
    }
    free(plan);
    free(config);
    return status;
}

int plan_main(int argc, char **argv)
{
    struct plan_options options = {.machine = {.flops = 1e12, .latency_s = 5e-6, .node = 1}};
    struct option_list assignments = {0};
    int code = options_start(&command, argc, argv, &options, &assignments);
    if (code >= 0)
        return code;
    const enum status status = run(&options, &assignments);
    options_free(&command, &options, &assignments);
    return status_finish(status);
}
