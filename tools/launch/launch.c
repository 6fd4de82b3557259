/* mixt launch: a verb on several ranks or machines, started again where it fails. */
#include "tools/launch/launch.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/verbs.h"

#define AT(member) offsetof(struct launch_options, member)

static const struct option table[] = {
    {"ranks", 'n', NULL, "N", OPTION_INT, AT(ranks), 1, 65536, NULL,
     "processes (default: as many as the hosts take)"},
    {"hosts", 0, NULL, "LIST", OPTION_STRING, AT(hosts), 0, 0, NULL,
     "machines and the processes that each takes: a:4,b:4. They are asked before every start, and "
     "those that do not answer are left out (default: this machine alone, or what mpirun knows)"},
    {"agent", 0, NULL, "COMMAND", OPTION_STRING, AT(agent), 0, 0, NULL,
     "runs a command line on a host as ssh does: COMMAND HOST LINE (default ssh)"},
    {"mpirun", 0, NULL, "COMMAND", OPTION_STRING, AT(mpirun), 0, 0, NULL,
     "Open MPI's or MPICH's, with options of its own where wanted (default mpirun)"},
    {"restarts", 0, NULL, "N", OPTION_INT, AT(restarts), 0, 1e6, NULL,
     "failures in a row after which it is started once more; runs of ten minutes begin the count "
     "anew (default 10)"},
    {"pause", 0, NULL, "SECONDS", OPTION_DOUBLE, AT(pause_s), 0, 86400, NULL,
     "before the next start (default 5)"},
    {"input", 'i', NULL, "FILE", OPTION_STRING, AT(input), 0, 0, NULL,
     "instead of mpirun: the verb reads ranges of this file's lines, each process its own"},
    {"output", 'o', NULL, "FILE", OPTION_STRING, AT(output), 0, 0, NULL,
     "with --input: gets what they write, in order, once every line is there"},
};

static const struct options_command command = {
    .verb = "launch",
    .arguments = "-- VERB [ARGUMENT...]",
    .description =
        "Runs a verb on several processes and machines. 'mixt launch -n 4 -- train -c FILE' starts "
        "mpirun -n 4 mixt train -c FILE; when that fails, a process or a machine is lost, it is "
        "started again on the machines that answer and goes on from the last saved state.\n"
        "'mixt launch --hosts a:2,b:2 -i in.en -o out.de -- translate -m MODEL' needs no MPI: "
        "ranges of lines go to the machines and come back; a range that fails or comes back short "
        "is done again elsewhere, and out.de appears whole or not at all. MODEL must be there on "
        "all of them.",
    .options = table,
    .n_options = sizeof table / sizeof *table,
    .min_arguments = 1,
    .max_arguments = 1000,
    .exit_codes = "the verb's; 1 also when it failed too often; 130 or 143 stopped by a signal.",
};

static enum status check(const struct launch_options *options)
{
    if (!options->input != !options->output)
        return status_set(STATUS_USAGE, "--input and --output go together");
    if (!options->hosts && options->ranks == 0)
        return status_set(STATUS_USAGE, "how many processes? give --ranks or --hosts");
    if (!*options->agent || !*options->mpirun)
        return status_set(STATUS_USAGE, "--agent and --mpirun want a command");
    return STATUS_OK;
}

/* This program and what follows. */
static enum status write_command(struct words *words, const struct option_list *arguments)
{
    char program[PATH_MAX] = "";
    const ssize_t size = readlink("/proc/self/exe", program, sizeof program - 1);
    if (size <= 0)
        return status_set(STATUS_FAILED, "/proc/self/exe: %s", strerror(errno));
    words_add(words, program);
    for (size_t i = 0; i < arguments->count; i++)
        words_add(words, arguments->items[i]);
    return words->error;
}

int launch_main(int argc, char **argv)
{
    struct launch_options options = {
        .agent = "ssh", .mpirun = "mpirun", .restarts = 10, .pause_s = 5};
    struct option_list arguments = {0};
    struct hosts hosts = {0};
    struct words words = {0};
    int code = options_start(&command, argc, argv, &options, &arguments);
    if (code >= 0)
        return code;
    enum status status = check(&options);
    if (status >= 0 && options.hosts)
        status = hosts_read(&hosts, options.hosts, options.agent);
    if (status >= 0)
        status = write_command(&words, &arguments);
    if (status >= 0) {
        const struct launch_job job = {&options, &hosts, &words};
        process_prepare();
        code = options.input ? launch_lines(&job) : launch_ranks(&job);
    } else {
        code = status_finish(status);
    }
    words_free(&words);
    hosts_free(&hosts);
    options_free(&command, &options, &arguments);
    return code;
}
