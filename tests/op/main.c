/* test_ops [--backend NAME] [--threads N] [--only OP] [--seed N] [--seeds N] [--bench] [--list]
 *
 * --seeds N checks with N seeds, the first of which is --seed; those that follow with one thread.
 * Checks with one thread and with N (2); --bench times with N.
 *
 * To add an operation: a check in the file of its family, with its line in the table there. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/op/op.h"

static const struct op_check *const families[] = {element_checks, row_checks,  product_checks,
                                                  layer_checks,   gate_checks, choice_checks,
                                                  int8_checks};
enum { SKIPPED = 77 }; /* meson's word for it */
enum { N_FAMILIES = sizeof families / sizeof *families };

/* Entries that every trial uses, so that no check of their own is needed. */
static const size_t always_used[] = {
    offsetof(struct backend_ops, close), offsetof(struct backend_ops, sync),
    offsetof(struct backend_ops, arena_init), offsetof(struct backend_ops, weight_pack),
    offsetof(struct backend_ops, weight_free)};

static bool is_covered(size_t offset)
{
    for (size_t i = 0; i < sizeof always_used / sizeof *always_used; i++)
        if (always_used[i] == offset)
            return true;
    for (int f = 0; f < N_FAMILIES; f++)
        for (const struct op_check *op = families[f]; op->name; op++)
            if (op->offset == offset)
                return true;
    return false;
}

/* No entry of a table is missing, and each has a check. */
static void check_table(struct checker *checker, const struct backend *backend)
{
    for (size_t at = offsetof(struct backend_ops, close); at < sizeof *backend->ops;
         at += sizeof(void (*)(void))) {
        void (*entry)(void);
        memcpy(&entry, (const char *)backend->ops + at, sizeof entry);
        report(checker, "table", entry != NULL, "%s: the entry at byte %zu is NULL",
               backend->ops->name, at);
        report(checker, "table", is_covered(at), "the entry at byte %zu has no check", at);
    }
}

struct options {
    const char *backend, *only;
    uint64_t seed;
    int n_seeds, n_threads;
    bool is_bench, is_list;
};

static bool parse(struct options *options, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--bench") == 0)
            options->is_bench = true;
        else if (strcmp(argv[i], "--list") == 0)
            options->is_list = true;
        else if (strcmp(argv[i], "--backend") == 0 && has_value)
            options->backend = argv[++i];
        else if (strcmp(argv[i], "--only") == 0 && has_value)
            options->only = argv[++i];
        else if (strcmp(argv[i], "--seed") == 0 && has_value)
            options->seed = strtoull(argv[++i], NULL, 0);
        else if (strcmp(argv[i], "--seeds") == 0 && has_value)
            options->n_seeds = atoi(argv[++i]);
        else if (strcmp(argv[i], "--threads") == 0 && has_value)
            options->n_threads = atoi(argv[++i]);
        else
            return false;
    }
    return options->n_threads >= 1 && options->n_seeds >= 1;
}

static const char invariance[] = "invariance";

/* Prints every name that --only knows. */
static void list_checks(void)
{
    for (int f = 0; f < N_FAMILIES; f++)
        for (const struct op_check *op = families[f]; op->name; op++)
            printf("%s\n", op->name);
    printf("%s\n", invariance);
}

static bool is_check(const char *name)
{
    for (int f = 0; f < N_FAMILIES; f++)
        for (const struct op_check *op = families[f]; op->name; op++)
            if (strcmp(op->name, name) == 0)
                return true;
    return strcmp(name, invariance) == 0;
}

static bool open_all(struct checker *checker, const char *name, int n_threads)
{
    if (backend_open(&checker->ref, "ref", 1) != STATUS_OK ||
        backend_open(&checker->ref64, "ref64", 1) != STATUS_OK)
        return false;
    for (; checker->n_handles < MAX_HANDLES; checker->n_handles++)
        if (backend_open(&checker->handles[checker->n_handles], name,
                         checker->n_handles == 0 ? 1 : n_threads) != STATUS_OK)
            return false;
    if (backend_arena_init(&checker->handles[0], &checker->device, 0) != STATUS_OK)
        return false;
    checker->is_remote = checker->device.blocks != NULL;
    return true;
}

static void close_all(struct checker *checker)
{
    arena_free(&checker->device);
    for (int i = 0; i < checker->n_handles; i++)
        backend_close(&checker->handles[i]);
    backend_close(&checker->ref);
    backend_close(&checker->ref64);
    arena_free(&checker->arena);
}

static void run_checks(struct checker *checker, const struct options *options)
{
    for (int f = 0; f < N_FAMILIES; f++)
        for (const struct op_check *op = families[f]; op->name; op++) {
            if (options->only && strcmp(options->only, op->name) != 0) {
                checker->n_skipped++;
                continue;
            }
            /* The same numbers whatever other operations are checked before. */
            checker->n_drawn = 0;
            for (int worst = 0; worst <= !checker->is_bench; worst++) {
                checker->is_worst = worst;
                op->check(checker);
            }
            checker->is_worst = false;
        }
    if (checker->is_bench)
        return;
    check_table(checker, &checker->ref);
    check_table(checker, &checker->handles[0]);
    if (options->only && strcmp(options->only, invariance) != 0)
        return;
    if (checker->is_remote)
        check_rows_alone(checker);
    else if (!checker->is_bf16 || backend_cpu_compute() == COMPUTE_BF16)
        check_invariance(checker);
}

int main(int argc, char **argv)
{
    struct options options = {.backend = "cpu", .seed = 1, .n_seeds = 1, .n_threads = 2};
    if (!parse(&options, argc, argv)) {
        fprintf(stderr, "usage: test_ops [--backend NAME] [--threads N] [--only OP] [--seed N] "
                        "[--seeds N] [--bench] [--list]\n");
        return 2;
    }
    if (options.is_list) {
        list_checks();
        return 0;
    }
    if (options.only && !is_check(options.only)) {
        fprintf(stderr, "test_ops: no check is called '%s'; --list names them\n", options.only);
        return 2;
    }
    struct checker checker = {.is_bench = options.is_bench};
    checker.is_fp16 = strstr(options.backend, "_fp16") != NULL;
    checker.is_bf16 = strstr(options.backend, "_bf16") != NULL;
    const bool is_open = arena_init(&checker.arena, 0) == STATUS_OK &&
                         open_all(&checker, options.backend, options.n_threads);
    for (int i = 0; is_open && i < options.n_seeds; i++) {
        seed_checker(&checker, options.seed + (uint64_t)i);
        checker.n_compared = i == 0 ? checker.n_handles : 1;
        run_checks(&checker, &options);
        if (options.n_seeds > 1)
            printf("seed %llu: %d failed so far\n", (unsigned long long)checker.seed,
                   checker.n_failed);
        fflush(stdout);
    }
    if (!is_open)
        status_print();
    close_all(&checker);
    if (is_open)
        printf("%d passed, %d failed, %d skipped\n", checker.n_passed, checker.n_failed,
               checker.n_skipped);
    if (!is_open && (checker.is_bf16 || checker.is_fp16))
        return SKIPPED; /* the processor has none */
    return is_open && checker.n_failed == 0 ? 0 : 1;
}
