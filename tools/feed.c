/* Reading blocks of lines into batches. */
#include "tools/feed.h"

#include <inttypes.h>
#include <string.h>

#include "model/languages.h"

enum status feed_open(struct feed *feed, const struct model *model, const char *language,
                      const char *source, const char *target)
{
    const char *const paths[] = {source, target};
    *feed = (struct feed){.subword = model->subword};
    enum status status =
        languages_piece(&model->config.data.languages, model->subword, language, &feed->prefix);
    for (int side = 0; side < FEED_SIDES && status >= 0; side++)
        if (paths[side])
            status = lines_open(&feed->inputs[side], paths[side]);
    return status;
}

void feed_free(struct feed *feed)
{
    for (int side = 0; side < FEED_SIDES; side++) {
        lines_close(feed->inputs[side]);
        for (int i = 0; i < FEED_LINES; i++)
            ids_free(&feed->sides[side][i]);
    }
    *feed = (struct feed){0};
}

/* The ids of a line, with eos, behind the prefix where that is not -1. */
static enum status encode(const struct subword *subword, const struct line *line, int32_t prefix,
                          struct ids *ids)
{
    ids_clear(ids);
    enum status status = prefix >= 0 ? ids_push(ids, prefix) : STATUS_OK;
    if (status >= 0)
        status = subword_encode(subword, line->bytes, line->size, ids);
    return status < 0 ? status : ids_push(ids, subword_eos_id(subword));
}

/* White space separated words of a line, and its end. */
static int64_t count_words(const struct line *line)
{
    int64_t count = 1;
    bool is_inside = false;
    for (size_t i = 0; i < line->size; i++) {
        const bool is_space = strchr(" \t\r\f\v", line->bytes[i]) != NULL;
        count += !is_space && !is_inside;
        is_inside = !is_space;
    }
    return count;
}

static enum status unequal(const struct feed *feed, bool source_ended)
{
    struct lines *const ended = feed->inputs[source_ended ? FEED_SOURCE : FEED_TARGET];
    struct lines *const longer = feed->inputs[source_ended ? FEED_TARGET : FEED_SOURCE];
    (void)status_set(STATUS_DATA, "%s ends after %" PRId64 " lines, %s goes on", lines_name(ended),
                     lines_so_far(ended)->lines, lines_name(longer));
    status_hint("the files must be line-parallel");
    return STATUS_DATA;
}

/* Reads line number i of the block; *is_end where there is none. */
static enum status read_line(struct feed *feed, size_t i, bool *is_end)
{
    bool ended[FEED_SIDES] = {false, false};
    for (int side = 0; side < FEED_SIDES; side++) {
        struct line line;
        if (!feed->inputs[side])
            continue;
        enum status status = lines_next(feed->inputs[side], &line);
        if (status < 0)
            return status;
        ended[side] = !line.bytes;
        if (ended[side])
            continue;
        status = encode(feed->subword, &line, side == FEED_SOURCE ? feed->prefix : -1,
                        &feed->sides[side][i]);
        if (status < 0)
            return status;
        feed->words += side == FEED_TARGET ? count_words(&line) : 0;
    }
    const bool are_two = feed->inputs[FEED_SOURCE] && feed->inputs[FEED_TARGET];
    if (are_two && ended[FEED_SOURCE] != ended[FEED_TARGET])
        return unequal(feed, ended[FEED_SOURCE]);
    *is_end = ended[FEED_SOURCE] || ended[FEED_TARGET];
    return STATUS_OK;
}

enum status feed_next(struct feed *feed, struct batch *batch, size_t *n)
{
    enum status status = STATUS_OK;
    bool is_end = false;
    batch_start(batch);
    for (*n = 0; *n < FEED_LINES; (*n)++) {
        status = read_line(feed, *n, &is_end);
        if (status < 0 || is_end)
            break;
    }
    for (size_t i = 0; i < *n && status >= 0; i++) {
        const struct ids *source = &feed->sides[FEED_SOURCE][i];
        const struct ids *target = &feed->sides[FEED_TARGET][i];
        status = batch_add(batch, source->data, (int64_t)source->size, target->data,
                           (int64_t)target->size);
    }
    if (status < 0 || *n == 0)
        return status;
    return batch_finish(batch, subword_bos_id(feed->subword), 0);
}
