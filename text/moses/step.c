/* Edits of a line: unchanged stretches are copied as wholes. */
#include "text/moses/step.h"

#include <string.h>

void moses_take_spare(struct moses_work *work)
{
    const struct buffer text = work->text;
    work->text = work->spare;
    work->spare = text;
}

enum status edit_replace(struct edit *edit, size_t from, size_t to, const char *bytes, size_t size)
{
    struct moses_work *work = edit->work;
    if (!edit->is_begun)
        buffer_clear(&work->spare);
    edit->is_begun = true;
    enum status status =
        buffer_append(&work->spare, work->text.data + edit->copied, from - edit->copied);
    if (status == STATUS_OK)
        status = buffer_append(&work->spare, bytes, size);
    edit->copied = to;
    return status;
}

enum status edit_finish(struct edit *edit)
{
    struct moses_work *work = edit->work;
    if (!edit->is_begun)
        return STATUS_OK;
    const enum status status =
        buffer_append(&work->spare, work->text.data + edit->copied, work->text.size - edit->copied);
    if (status == STATUS_OK)
        moses_take_spare(work);
    return status;
}

enum status edit_literal(struct moses_work *work, const struct literal *literal)
{
    const struct buffer *text = &work->text;
    const char byte = literal->from[literal->anchor];
    struct edit edit = {.work = work};
    size_t offset = 0; /* where the next occurrence may begin */
    while (text->size - offset >= literal->from_size) {
        const size_t first = offset + literal->anchor;
        const char *found = memchr(text->data + first, byte, text->size - first);
        if (found == NULL)
            break;
        offset = (size_t)(found - text->data) - literal->anchor;
        if (text->size - offset < literal->from_size)
            break;
        if (memcmp(text->data + offset, literal->from, literal->from_size) != 0) {
            offset++;
            continue;
        }
        const size_t end = offset + literal->from_size;
        const enum status status = edit_replace(&edit, offset, end, literal->to, literal->to_size);
        if (status < 0)
            return status;
        offset = end;
    }
    return edit_finish(&edit);
}
