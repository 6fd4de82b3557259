/* Lists of names and values, as those of files, fields and languages. */
#ifndef MIXT_TOOLS_BLEU_TESTSET_NAMES_H
#define MIXT_TOOLS_BLEU_TESTSET_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* Owned strings; a zeroed list is empty. */
struct testset_names {
    char **items;
    size_t count;
};

/* Adds a copy of name [size]. STATUS_MEMORY. */
enum status testset_names_add(struct testset_names *names, const char *name,
                              size_t size) STATUS_CHECKED;

bool testset_names_have(const struct testset_names *names, const char *name);

/* Adds the entries of a folder that do not start with a dot, and sorts; nothing where it cannot be
 * read. STATUS_MEMORY. */
enum status testset_names_list(const char *folder, struct testset_names *names) STATUS_CHECKED;

void testset_names_free(struct testset_names *names);

#endif
