/* mixt prep cat: a corpus as text again, in its order or shuffled. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/prep/pairs.h"
#include "tools/prep/prep.h"

enum { FORGET_EVERY = 1 << 12 };

struct cat_values {
    const char *side;
    bool tab;
    int64_t shuffle; /* negative: not wanted */
};

#define AT(member) offsetof(struct cat_values, member)

static const struct option cat_options[] = {
    {"side", 's', NULL, "SIDE", OPTION_STRING, AT(side), 0, 0, "source|target|both",
     "source, target, or both with a tab between (default: both)"},
    {"tab", 0, NULL, NULL, OPTION_FLAG, AT(tab), 0, 0, NULL, "the same as --side both"},
    {"shuffle", 0, NULL, "SEED", OPTION_INT, AT(shuffle), 0, INFINITY, NULL,
     "in a pseudo-random order, the same for the same seed, on both sides"},
};

#undef AT

static const struct options_command cat_command = {
    .verb = "prep cat",
    .arguments = "DIR",
    .description = "Prints the pairs of a corpus, a line each.",
    .options = cat_options,
    .n_options = sizeof cat_options / sizeof cat_options[0],
    .min_arguments = 1,
    .max_arguments = 1,
};

static bool has_tab(const struct pair_text *text)
{
    return memchr(text->bytes, '\t', text->size) != NULL;
}

static enum status print_pair(const struct cat_values *values, const struct pair *pair, int64_t i)
{
    const bool has_source = strcmp(values->side, "target") != 0;
    const bool has_target = strcmp(values->side, "source") != 0;
    if (has_source && has_target && (has_tab(&pair->source) || has_tab(&pair->target))) {
        const enum status status = status_set(
            STATUS_DATA, "pair %lld has a tab in it, so a tab cannot part its sides", (long long)i);
        status_hint("print the sides one by one, with --side");
        return status;
    }
    if (has_source)
        fwrite(pair->source.bytes, 1, pair->source.size, stdout);
    if (has_source && has_target)
        putchar('\t');
    if (has_target)
        fwrite(pair->target.bytes, 1, pair->target.size, stdout);
    if (putchar('\n') == EOF)
        return status_set(STATUS_IO, "standard output: cannot write: %s", strerror(errno));
    return STATUS_OK;
}

static enum status print_all(const struct cat_values *values, const struct pairs *pairs)
{
    const int64_t n = pairs_count(pairs);
    enum status status = STATUS_OK;
    for (int64_t i = 0; i < n && status == STATUS_OK; i++) {
        struct pair pair;
        const int64_t number =
            values->shuffle < 0 ? i : pairs_shuffled(n, (uint64_t)values->shuffle, i);
        status = pairs_get(pairs, number, &pair);
        if (status == STATUS_OK)
            status = print_pair(values, &pair, number + 1);
        if (i % FORGET_EVERY == FORGET_EVERY - 1)
            pairs_forget(pairs);
    }
    return status;
}

int prep_cat_main(int argc, char **argv)
{
    struct cat_values values = {.side = "both", .shuffle = -1};
    struct option_list arguments = {0};
    const int exit_code = options_start(&cat_command, argc, argv, &values, &arguments);
    if (exit_code >= 0)
        return exit_code;
    if (values.tab)
        values.side = "both";
    struct pairs *pairs = NULL;
    enum status status = pairs_open(&pairs, arguments.items[0]);
    if (status == STATUS_OK)
        status = print_all(&values, pairs);
    pairs_close(pairs);
    options_free(&cat_command, &values, &arguments);
    return status < 0 ? prep_failed(status) : 0;
}
