/* mixt train: trains a model as a YAML file says, or continues. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/comm/comm.h"
#include "base/clock.h"
#include "tools/footer.h"
#include "tools/options.h"
#include "tools/verbs.h"
#include "train/trainer.h"

struct train_options {
    const char *config_path;
    bool wants_dump;
    bool wants_keys;
};

static const struct option table[] = {
    {"config", 'c', NULL, "FILE", OPTION_STRING, offsetof(struct train_options, config_path), 0, 0,
     NULL, "YAML file with the settings"},
    {"dump-config", 0, NULL, NULL, OPTION_FLAG, offsetof(struct train_options, wants_dump), 0, 0,
     NULL, "print all settings, merged, as YAML, and stop"},
    {"keys", 0, NULL, NULL, OPTION_FLAG, offsetof(struct train_options, wants_keys), 0, 0, NULL,
     "print every key with its default, range and meaning, and stop"},
};

static const struct options_command command = {
    .verb = "train",
    .arguments = "[SECTION.KEY=VALUE...]",
    .description =
        "Trains a translation or language model from raw text and keeps the best one, or continues "
        "a run that was stopped: the same command, to the same bits as if it had never stopped. "
        "Settings come from the defaults, then the file, then the command line.\n"
        "The run directory save.dir gets best.safetensors, last/, config.yaml, train.log and "
        "metrics.jsonl. SIGTERM and SIGINT save and stop, SIGUSR1 saves and goes on.\n"
        "Under 'mpirun -n N' N ranks train one model together and divide its experts.",
    .options = table,
    .n_options = sizeof table / sizeof *table,
    .max_arguments = 1000,
    .exit_codes = "0 done or already finished, 1 failed, 2 usage or configuration, 3 "
                  "input data, 4 memory, 5 diverged, 130 or 143 stopped by a signal after saving.",
};

static enum status print_text(enum status (*write)(struct buffer *, const struct config *),
                              const struct config *config)
{
    struct buffer text = {0};
    const enum status status = write(&text, config);
    if (status >= 0)
        fwrite(text.data, 1, text.size, stdout);
    buffer_free(&text);
    return status;
}

static enum status write_config(struct buffer *text, const struct config *config)
{
    return config_write(config, CONFIG_PART_ALL, text);
}

static enum status write_keys(struct buffer *text, const struct config *config)
{
    (void)config;
    return config_describe(text);
}

/* Trains with the ranks that were launched; prints what went wrong, once where all ranks know it,
 * and returns the exit code. Does not return where others have to be ended. */
static int run(const struct config *config, double start)
{
    struct comm comm = {0};
    int signal_number = 0;
    bool is_common = true;
    enum status status = comm_open(&comm, "auto", config->dist.timeout_s);
    if (status < 0) {
        status_print();
        return status_exit_code(status);
    }
    const bool is_first = comm.rank == 0;
    status = trainer_run(config, &comm, status_print, &signal_number, &is_common);
    const int code = status == STATUS_INTERRUPTED ? 128 + signal_number : status_exit_code(status);
    if (!is_common)
        comm_abort(&comm, code);
    if (status >= 0 && is_first)
        footer_print(start, "train");
    comm_close(&comm);
    return code;
}

int train_main(int argc, char **argv)
{
    const double start = clock_seconds();
    struct train_options options = {0};
    struct option_list assignments = {0};
    int code = options_start(&command, argc, argv, &options, &assignments);
    if (code >= 0)
        return code;
    struct config *config = malloc(sizeof *config);
    enum status status =
        config ? config_read(config, options.config_path, assignments.items, assignments.count)
               : status_set(STATUS_MEMORY, "no memory for the configuration");
    const bool only_prints = options.wants_dump || options.wants_keys;
    if (status >= 0 && options.wants_keys)
        status = print_text(write_keys, config);
    if (status >= 0 && options.wants_dump)
        status = print_text(write_config, config);
    code = status_exit_code(status);
    if (status < 0)
        status_print();
    else if (!only_prints)
        code = run(config, start);
    free(config);
    options_free(&command, &options, &assignments);
    return code;
}
