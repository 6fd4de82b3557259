#include "text/prep/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { RELEASED_AT_ONCE = 1 << 26 };

struct stage_header {
    int64_t line;
    uint64_t input;
    uint64_t source_size;
    uint64_t target_size;
};

static enum status cannot_write(void)
{
    return status_set(STATUS_IO, "cannot write the pairs to a temporary file: %s", strerror(errno));
}

static enum status cannot_read(const struct stage *stage)
{
    return status_set(STATUS_IO, "cannot read the pairs back from a temporary file: %s",
                      feof(stage->file) ? "it ends too early" : strerror(errno));
}

enum status stage_write(struct stage *stage, const struct staged *staged)
{
    const struct pair_text *source = &staged->pair.source, *target = &staged->pair.target;
    const struct stage_header header = {staged->line, staged->input, source->size, target->size};
    if (fwrite(&header, sizeof header, 1, stage->file) != 1 ||
        fwrite(source->bytes, 1, source->size + 1, stage->file) != source->size + 1 ||
        fwrite(target->bytes, 1, target->size + 1, stage->file) != target->size + 1)
        return cannot_write();
    return STATUS_OK;
}

enum status stage_rewind(struct stage *stage)
{
    if (fflush(stage->file) != 0 || fseeko(stage->file, 0, SEEK_SET) != 0)
        return cannot_write();
    return STATUS_OK;
}

/* Gives the disk back what was read, where the file system can: the corpus being written then takes
 * its place. */
static void release(struct stage *stage)
{
    if (stage->read_bytes - stage->released_bytes < RELEASED_AT_ONCE)
        return;
#ifdef FALLOC_FL_PUNCH_HOLE
    (void)fallocate(fileno(stage->file), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    stage->released_bytes, stage->read_bytes - stage->released_bytes);
#endif
    stage->released_bytes = stage->read_bytes;
}

enum status stage_read(struct stage *stage, struct staged *staged)
{
    struct stage_header header;
    release(stage);
    if (fread(&header, sizeof header, 1, stage->file) != 1)
        return cannot_read(stage);
    const size_t size = (size_t)(header.source_size + header.target_size + 2);
    buffer_clear(&stage->text);
    const enum status status = buffer_reserve(&stage->text, size);
    if (status < 0)
        return status;
    if (fread(stage->text.data, 1, size, stage->file) != size)
        return cannot_read(stage);
    stage->read_bytes += (int64_t)(sizeof header + size);
    const char *source = stage->text.data, *target = source + header.source_size + 1;
    *staged = (struct staged){
        .pair = {{source, (size_t)header.source_size}, {target, (size_t)header.target_size}},
        .input = (size_t)header.input,
        .line = header.line,
    };
    return STATUS_OK;
}

void stage_close(struct stage *stage)
{
    if (stage->file != NULL)
        fclose(stage->file);
    buffer_free(&stage->text);
    *stage = (struct stage){0};
}
