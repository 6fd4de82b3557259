/* Failures put aside. */
#include <stdlib.h>
#include <string.h>

#include "tools/prep/work.h"

void failure_keep(struct failure *failure, enum status status)
{
    if (status == STATUS_OK || failure->status < 0)
        return;
    failure->status = status;
    failure->message = strdup(status_message());
    failure->hint = strdup(status_hint_text());
}

enum status failure_return(const struct failure *failure)
{
    if (failure->status == STATUS_OK)
        return STATUS_OK;
    status_set(failure->status, "%s", failure->message != NULL ? failure->message : "no memory");
    if (failure->hint != NULL && failure->hint[0] != '\0')
        status_hint("%s", failure->hint);
    return failure->status;
}

void failure_free(struct failure *failure)
{
    free(failure->message);
    free(failure->hint);
    *failure = (struct failure){0};
}

bool failure_is_final(enum status status)
{
    return status == STATUS_FAILED || status == STATUS_MEMORY || status == STATUS_INTERRUPTED;
}
