#include "tools/subword/model.h"

#include <inttypes.h>

#include "base/file.h"

enum status model_write(const char *path, const struct buffer *model)
{
    struct file_writer writer;
    const enum status status = file_create(&writer, path);
    if (status < 0)
        return status;
    fwrite(model->data, 1, model->size, writer.stream); /* file_commit() sees a failure */
    return file_commit(&writer);
}

void model_print_vocabulary(FILE *stream, const struct subword *subword, enum vocabulary_form form)
{
    for (int32_t id = 0; id < subword_size(subword); id++) {
        fputs(subword_piece(subword, id), stream);
        if (form == VOCABULARY_SCORES)
            fprintf(stream, "\t%g", (double)subword_score(subword, id));
        else if (form == VOCABULARY_IDS)
            fprintf(stream, "\t%" PRId32, id);
        putc('\n', stream);
    }
}

enum status model_write_vocabulary(const char *path, const struct subword *subword,
                                   enum vocabulary_form form)
{
    struct file_writer writer;
    const enum status status = file_create(&writer, path);
    if (status < 0)
        return status;
    model_print_vocabulary(writer.stream, subword, form);
    return file_commit(&writer);
}
