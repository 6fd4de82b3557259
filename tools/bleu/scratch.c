#include "tools/bleu/scratch.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static enum status failed(void)
{
    return status_set(STATUS_IO, "cannot keep lines in a temporary file: %s", strerror(errno));
}

enum status scratch_create(struct scratch *scratch)
{
    scratch->stream = tmpfile();
    return scratch->stream == NULL ? failed() : STATUS_OK;
}

enum status scratch_write(struct scratch *scratch)
{
    const struct buffer *pending = &scratch->pending;
    if (pending->size > 0 &&
        fwrite(pending->data, 1, pending->size, scratch->stream) != pending->size)
        return failed();
    buffer_clear(&scratch->pending);
    return STATUS_OK;
}

enum status scratch_open(struct scratch *scratch, const char *name, struct lines **lines)
{
    if (fflush(scratch->stream) != 0 || fseek(scratch->stream, 0, SEEK_SET) != 0)
        return failed();
    const int descriptor = dup(fileno(scratch->stream));
    return descriptor < 0 ? failed() : lines_open_descriptor(lines, descriptor, name);
}

void scratch_free(struct scratch *scratch)
{
    if (scratch->stream != NULL)
        fclose(scratch->stream);
    buffer_free(&scratch->pending);
    *scratch = (struct scratch){0};
}
