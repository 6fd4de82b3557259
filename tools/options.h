/* Command lines: one table per verb says what it accepts, and --help is printed from that table.
 *
 * Accepted are --name VALUE, --name=VALUE, -n VALUE, -nVALUE, clusters of one-letter flags, and
 * -alias VALUE where the table gives an option a second, longer spelling behind one dash. '_' in a
 * long name is read as '-'. Options and plain arguments may be mixed; "--" ends the options. An
 * option given twice counts the last time, except OPTION_LIST, which collects. */
#ifndef MIXT_TOOLS_OPTIONS_H
#define MIXT_TOOLS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* What an option stores at its offset. */
enum option_kind {
    OPTION_FLAG,   /* bool, set to true; takes no value */
    OPTION_SWITCH, /* bool; --name and --name=true set it, --name=false clears it */
    OPTION_STRING, /* const char *, borrowed from argv */
    OPTION_INT,    /* int64_t */
    OPTION_DOUBLE, /* double, never NaN or infinite */
    OPTION_LIST,   /* struct option_list, one value each time it is given */
    OPTION_WORDS,  /* struct option_list, all words up to the next option; the last time counts */
    OPTION_REFUSED /* nothing: a known name that mixt does not offer; help says what to do */
};

/* Strings borrowed from argv. A zeroed list is empty; options_free() gives the array back. */
struct option_list {
    const char **items;
    size_t count;
};

/* One row of a verb's table. */
struct option {
    const char *name;  /* long name without dashes */
    char letter;       /* short name, or 0 */
    const char *alias; /* longer spelling behind one dash ("lc"), or NULL */
    const char *value; /* what help calls the value ("FILE"); NULL where none is taken */
    enum option_kind kind;
    size_t offset;  /* of the target in the verb's own struct: offsetof() */
    double minimum; /* smallest and largest number; both 0: any; INFINITY: no upper end */
    double maximum;
    const char *choices; /* for strings: the only values, "13a|none"; NULL: any */
    const char *help;    /* one or two lines' worth, with the default; wrapped when printed; NULL:
                          * not printed, another name of a row that is */
};

/* A verb's command line as a whole. */
struct options_command {
    const char *verb;        /* "bleu", or "subword train" */
    const char *arguments;   /* plain arguments in the usage line, "REFERENCE..."; "" for none */
    const char *description; /* what the verb does, a paragraph; '\n' starts a new line */
    const struct option *options;
    size_t n_options;
    size_t min_arguments;
    size_t max_arguments;
    const char *exit_codes; /* replaces the common line of help; NULL keeps it */
    bool allows_beginnings; /* of a long name stand for it where it is the only one */
};

/* Fills values (the verb's struct, which holds the defaults on entry) and arguments (plain ones, in
 * order). At --help or -h sets wants_help and stops reading. Errors are STATUS_USAGE, with the
 * nearest name for one that is unknown, and STATUS_MEMORY. Lists are to be freed also on error. */
enum status options_parse(const struct options_command *command, int argc, char **argv,
                          void *values, struct option_list *arguments,
                          bool *wants_help) STATUS_CHECKED;

/* For the head of a verb: parses; prints help on stdout, or the error on stderr. Returns the exit
 * code to leave with, or -1 where the verb is to go on. argv[0] is the verb. */
int options_start(const struct options_command *command, int argc, char **argv, void *values,
                  struct option_list *arguments);

/* Gives the lists of values and arguments back and empties them. */
void options_free(const struct options_command *command, void *values,
                  struct option_list *arguments);

/* Prints the help text of the command on stdout. */
void options_print_help(const struct options_command *command);

/* The name that word most likely meant, or NULL where none is near enough: at most a third of the
 * letters wrong, or word is the beginning of a name. */
const char *options_nearest(const char *word, const char *const *names, size_t n_names);

#endif
