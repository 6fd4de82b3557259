/* Commands that are made of verbs: 'mixt VERB', 'mixt lab VERB'. */
#ifndef MIXT_TOOLS_DISPATCH_H
#define MIXT_TOOLS_DISPATCH_H

#include <stddef.h>

struct verb {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is the verb; returns the exit code */
    const char *help;                  /* one line */
};

/* The verb of this name, or NULL. */
const struct verb *dispatch_find(const struct verb *verbs, size_t n_verbs, const char *name);

/* Prints a line for each verb on stdout. */
void dispatch_list(const struct verb *verbs, size_t n_verbs);

/* Says that a command has nothing of this kind ("verb", "type") by the name `word`, with the
 * nearest of the names that it has; with an empty word, unless wanted is NULL, what it wants.
 * Returns the exit code. */
int dispatch_unknown(const char *command, const char *kind, const char *word,
                     const char *const *names, size_t n_names, const char *wanted);

/* Runs the verb that argv[1] names; without one of that name, dispatch_unknown(). */
int dispatch_run(const char *command, const char *wanted, const struct verb *verbs, size_t n_verbs,
                 int argc, char **argv);

#endif
