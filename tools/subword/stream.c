#include "tools/subword/stream.h"

#include <errno.h>
#include <string.h>

enum status destination_open(struct destination *destination, const char *path)
{
    *destination = (struct destination){.stream = stdout};
    if (path == NULL || strcmp(path, "-") == 0)
        return STATUS_OK;
    const enum status status = file_create(&destination->writer, path);
    destination->stream = status < 0 ? NULL : destination->writer.stream;
    return status;
}

enum status destination_commit(struct destination *destination)
{
    enum status status = STATUS_OK;
    if (destination->stream == stdout) {
        if (fflush(stdout) != 0 || ferror(stdout))
            status = status_set(STATUS_IO, "standard output: cannot write: %s", strerror(errno));
    } else if (destination->stream != NULL) {
        status = file_commit(&destination->writer);
    }
    destination->stream = NULL;
    return status;
}

void destination_discard(struct destination *destination)
{
    if (destination->stream != NULL && destination->stream != stdout)
        file_discard(&destination->writer);
    destination->stream = NULL;
}

void warn_of_bad_utf8(const struct lines *lines)
{
    struct buffer text = {0};
    struct lines_counts counts = {.lines = lines_so_far(lines)->lines,
                                  .bad_utf8 = lines_so_far(lines)->bad_utf8};
    if (lines_describe(&counts, lines_name(lines), &text) == STATUS_OK && text.size > 0)
        fprintf(stderr, "mixt: warning: %s\n", text.data);
    buffer_free(&text);
}
