/* Finding a verb. */
#include "tools/dispatch.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "tools/options.h"

enum { MAX_VERBS = 32 };

const struct verb *dispatch_find(const struct verb *verbs, size_t n_verbs, const char *name)
{
    for (size_t i = 0; i < n_verbs; i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    }
    return NULL;
}

void dispatch_list(const struct verb *verbs, size_t n_verbs)
{
    for (size_t i = 0; i < n_verbs; i++)
        printf("  %-10s %s\n", verbs[i].name, verbs[i].help);
}

int dispatch_unknown(const char *command, const char *kind, const char *word,
                     const char *const *names, size_t n_names, const char *wanted)
{
    const char *nearest = options_nearest(word, names, n_names);
    enum status code = STATUS_USAGE;
    if (!*word && wanted)
        code = status_set(code, "%s wants a %s: %s", command, kind, wanted);
    else if (nearest)
        code = status_set(code, "unknown %s %s '%s'; did you mean '%s'?", command, kind, word,
                          nearest);
    else
        code = status_set(code, "unknown %s %s '%s'", command, kind, word);
    status_hint("'mixt %s --help' lists them", command);
    return status_finish(code);
}

int dispatch_run(const char *command, const char *wanted, const struct verb *verbs, size_t n_verbs,
                 int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    const struct verb *verb = dispatch_find(verbs, n_verbs, word);
    const char *names[MAX_VERBS];
    if (verb)
        return verb->run(argc - 1, argv + 1);
    CHECK(n_verbs <= MAX_VERBS, "%zu verbs", n_verbs);
    for (size_t i = 0; i < n_verbs; i++)
        names[i] = verbs[i].name;
    return dispatch_unknown(command, "verb", word, names, n_verbs, wanted);
}
