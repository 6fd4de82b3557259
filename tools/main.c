/* The program: finds the verb and hands it the rest of the command line. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "tools/dispatch.h"
#include "tools/options.h"
#include "tools/verbs.h"

static const struct verb verbs[] = {
    {"train", train_main, "train a model from raw text, or continue"},
    {"launch", launch_main, "run a verb on several processes and machines, again where it fails"},
    {"translate", translate_main, "translate text line by line"},
    {"score", score_main, "log-probability of given translations"},
    {"convert", convert_main, "write a model for decoding in int8"},
    {"bleu", bleu_main, "score translations against references, as sacreBLEU does"},
    {"subword", subword_main, "train and apply subword models"},
    {"prep", prep_main, "make a corpus of raw parallel text, with a report"},
    {"moses", moses_main, "tokenize, normalize and lower-case text as the Moses scripts do"},
    {"info", info_main, "describe a model file"},
    {"plan", plan_main, "parameters, work and memory of a configuration"},
    {"lab", lab_main, "experiments on mixtures of experts"},
    {"bench", bench_main, "speed, against the machine's own peak"},
};

enum { N_VERBS = sizeof verbs / sizeof verbs[0] };

static void print_help(void)
{
    printf("Usage: mixt VERB [ARGUMENT...]\n\n"
           "Neural machine translation with mixture-of-experts LSTM models.\n\n"
           "Verbs:\n");
    dispatch_list(verbs, N_VERBS);
    printf("\n'mixt VERB --help' lists the options of a verb, 'mixt --version' prints the\n"
           "version.\n");
}

/* A missing stdin, stdout or stderr would be the number of the next file opened, and messages would
 * end up in that file. Opened here the wrong way round, the first two make their users fail. */
static void open_standard_streams(void)
{
    static const int modes[] = {O_WRONLY, O_RDONLY, O_WRONLY};
    for (int descriptor = 0; descriptor < 3; descriptor++) {
        if (fcntl(descriptor, F_GETFD) < 0 && errno == EBADF)
            (void)open("/dev/null", modes[descriptor]); /* takes the lowest free number */
    }
}

static int unknown_verb(const char *word)
{
    const char *names[N_VERBS];
    for (size_t i = 0; i < N_VERBS; i++)
        names[i] = verbs[i].name;
    const char *nearest = options_nearest(word, names, N_VERBS);
    enum status code = STATUS_USAGE;
    if (nearest != NULL)
        code = status_set(code, "unknown verb '%s'; did you mean '%s'?", word, nearest);
    else
        code = status_set(code, "unknown %s '%s'", word[0] == '-' ? "option" : "verb", word);
    status_hint("'mixt --help' lists the verbs");
    return status_finish(code);
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        const enum status code = status_set(STATUS_USAGE, "no verb given");
        status_hint("'mixt --help' lists the verbs");
        return status_finish(code);
    }
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        print_help();
        return 0;
    }
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        printf("mixt %s\n", MIXT_VERSION);
        return 0;
    }
    const struct verb *verb = dispatch_find(verbs, N_VERBS, word);
    return verb ? verb->run(argc - 1, argv + 1) : unknown_verb(word);
}

int main(int argc, char **argv)
{
    open_standard_streams();
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is then a write error with a message */
    signal(SIGPIPE, SIG_DFL); /* a closed pipe ends the program quietly */
    const int exit_code = run(argc, argv);
    const bool is_lost = ferror(stdout) != 0;
    if ((fflush(stdout) != 0 || is_lost) && exit_code == 0) {
        const enum status code =
            status_set(STATUS_IO, "standard output: cannot write: %s", strerror(errno));
        return status_finish(code);
    }
    return exit_code;
}
