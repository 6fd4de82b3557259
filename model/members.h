/* The members of a JSON object, one at a time: a header with a million entries costs the memory of
 * one. */
#ifndef MIXT_MODEL_MEMBERS_H
#define MIXT_MODEL_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "base/status.h"

/* Where a walk stands; the caller sets the first four fields. */
struct members {
    const char *path;  /* borrowed; the file, for messages */
    const char *where; /* borrowed; the part of the file, for messages */
    const char *text;  /* borrowed [size]; must start with '{' */
    size_t size;
    size_t at;       /* next byte to read */
    bool has_member; /* so a comma must come before the next */
};

/* The next member. *name is NULL behind the last; else the caller drops both references. The same
 * name may come twice, inside a value it may not. STATUS_FORMAT with the byte that is wrong. */
enum status members_next(struct members *members, json_t **name, json_t **value) STATUS_CHECKED;

/* After the last member: only spaces may follow, so that no other format hides there. */
enum status members_end(const struct members *members) STATUS_CHECKED;

#endif
