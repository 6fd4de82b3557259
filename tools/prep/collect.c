/* From archives to texts: what each source needs is unpacked once, the first source that has both
 * sides is chosen, and counts and hashes are compared with those described. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "text/prep/sgml.h"
#include "text/prep/unpack.h"
#include "tools/prep/meter.h"
#include "tools/prep/work.h"

static struct work_piece *find_piece(const struct work *work, const struct dataset_side *side)
{
    for (size_t i = 0; i < work->n_pieces; i++) {
        struct work_piece *piece = &work->pieces[i];
        if (piece->archive == side->archive && (piece->member == NULL) == (side->member == NULL) &&
            (piece->member == NULL || strcmp(piece->member, side->member) == 0))
            return piece;
    }
    return NULL;
}

/* Named after its text, so that reports about it can be read: news.en, news-2.en for the second
 * source. */
static enum status add_piece(struct work *work, const struct dataset_text *text, size_t source,
                             size_t side)
{
    const struct dataset_side *place = &text->sources[source].sides[side];
    struct buffer path = {0};
    if (find_piece(work, place) != NULL)
        return STATUS_OK;
    enum status status = buffer_printf(&path, "%s/unpacked/%s", work->folder, text->name);
    if (status == STATUS_OK && source > 0)
        status = buffer_printf(&path, "-%zu", source + 1);
    if (status == STATUS_OK)
        status = buffer_printf(&path, ".%s", work->dataset->languages[side]);
    if (status < 0) {
        buffer_free(&path);
        return status;
    }
    work->pieces[work->n_pieces++] =
        (struct work_piece){.archive = place->archive, .member = place->member, .path = path.data};
    return STATUS_OK;
}

enum status work_list_pieces(struct work *work)
{
    const struct dataset *dataset = work->dataset;
    size_t n = 0;
    for (size_t t = 0; t < dataset->n_texts; t++)
        n += 2 * dataset->texts[t].n_sources;
    work->pieces = calloc(n, sizeof *work->pieces);
    if (work->pieces == NULL)
        return status_set(STATUS_MEMORY, "no memory for the texts of %s", dataset->name);
    for (size_t t = 0; t < dataset->n_texts; t++) {
        const struct dataset_text *text = &dataset->texts[t];
        for (size_t s = 0; s < 2 * text->n_sources; s++) {
            const enum status status = add_piece(work, text, s / 2, s % 2);
            if (status < 0)
                return status;
        }
    }
    return STATUS_OK;
}

/* The pieces being unpacked, one file open at a time. */
struct unpacking {
    struct work_piece **pieces; /* [n] in the order of the wants */
    struct digest *digest;
    FILE *stream;
    bool is_in_line; /* the last byte was not a line end */
};

static enum status cannot_write(const char *path)
{
    return status_set(STATUS_FAILED, "cannot write %s: %s", path, strerror(errno));
}

/* Notes that a line ended. */
static enum status count_line(struct work_piece *piece, bool is_empty)
{
    enum status status = STATUS_OK;
    const size_t byte = (size_t)(piece->lines / 8);
    if (byte == piece->empty_lines.size)
        status = buffer_append(&piece->empty_lines, "", 1);
    if (status == STATUS_OK && is_empty) {
        const int bits = (unsigned char)piece->empty_lines.data[byte] | 1 << (piece->lines % 8);
        piece->empty_lines.data[byte] = (char)bits;
    }
    piece->lines++;
    return status;
}

static enum status count_lines(struct unpacking *unpacking, struct work_piece *piece,
                               const char *bytes, size_t size)
{
    enum status status = STATUS_OK;
    const char *at = bytes, *end = bytes + size;
    while (status == STATUS_OK && at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (line_end == NULL) {
            unpacking->is_in_line = true;
            break;
        }
        status = count_line(piece, !unpacking->is_in_line && line_end == at);
        unpacking->is_in_line = false;
        at = line_end + 1;
    }
    return status;
}

static enum status begin_piece(struct unpacking *unpacking, const struct work_piece *piece)
{
    unpacking->is_in_line = false;
    unpacking->stream = fopen(piece->path, "wb");
    if (unpacking->stream == NULL)
        return status_set(STATUS_FAILED, "cannot create %s: %s", piece->path, strerror(errno));
    return digest_open(&unpacking->digest, false);
}

/* A last line without a line end gets one. */
static enum status end_piece(struct unpacking *unpacking, struct work_piece *piece)
{
    enum status status = STATUS_OK;
    if (unpacking->is_in_line && (status = count_line(piece, false)) < 0)
        return status;
    if (unpacking->is_in_line)
        putc('\n', unpacking->stream);
    digest_finish(unpacking->digest, &piece->digest);
    digest_close(unpacking->digest);
    unpacking->digest = NULL;
    const bool is_lost = ferror(unpacking->stream) != 0;
    const bool is_closed = fclose(unpacking->stream) == 0;
    unpacking->stream = NULL;
    if (is_lost || !is_closed)
        return cannot_write(piece->path);
    return STATUS_OK;
}

static enum status take_bytes(void *context, size_t i, const void *bytes, size_t size)
{
    struct unpacking *unpacking = context;
    struct work_piece *piece = unpacking->pieces[i];
    enum status status = STATUS_OK;
    if (unpacking->stream == NULL && (status = begin_piece(unpacking, piece)) < 0)
        return status;
    if (size == 0)
        return end_piece(unpacking, piece);
    digest_add(unpacking->digest, bytes, size);
    if (fwrite(bytes, 1, size, unpacking->stream) != size)
        return cannot_write(piece->path);
    return count_lines(unpacking, piece, bytes, size);
}

/* Unpacks the pieces [n] from the file. name is for messages. */
static enum status unpack(const char *path, const char *name, struct work_piece **pieces, size_t n,
                          int64_t *n_members)
{
    struct unpacking unpacking = {.pieces = pieces};
    struct meter meter;
    struct unpack_want *wants = calloc(n, sizeof *wants);
    if (wants == NULL)
        return status_set(STATUS_MEMORY, "no memory to unpack %s", name);
    for (size_t i = 0; i < n; i++)
        wants[i].member = pieces[i]->is_loose ? NULL : pieces[i]->member;
    const struct unpack_job job = {
        .path = path,
        .name = name,
        .wants = wants,
        .n_wants = n,
        .take = take_bytes,
        .context = &unpacking,
        .watch = meter_start(&meter, "unpacking", name),
    };
    const enum status status = unpack_run(&job, n_members);
    meter_end(&meter);
    if (unpacking.stream != NULL)
        fclose(unpacking.stream);
    digest_close(unpacking.digest);
    for (size_t i = 0; i < n; i++) {
        memcpy(pieces[i]->nearest, wants[i].nearest, sizeof wants[i].nearest);
        pieces[i]->is_found = wants[i].is_found && status == STATUS_OK; /* also of its CRC */
    }
    free(wants);
    return status;
}

/* A fetched archive that no hash could judge turned out bad: the next run is not to find it. */
static void drop_download(const struct work *work, size_t i)
{
    const struct dataset_archive *archive = &work->dataset->archives[i];
    const bool is_known = archive->sha256 != NULL || archive->md5 != NULL;
    if (work->archives[i].path != NULL && !work_is_local(work) &&
        (!is_known || work->values->no_verify))
        unlink(work->archives[i].path);
}

/* Obtains an archive and unpacks all pieces in it. */
static enum status take_archive(struct work *work, size_t i)
{
    struct work_archive *state = &work->archives[i];
    enum status status = work_obtain(work, i);
    struct work_piece **pieces = calloc(work->n_pieces, sizeof(struct work_piece *));
    if (status == STATUS_OK && pieces == NULL)
        status = status_set(STATUS_MEMORY, "no memory to unpack %s", state->path);
    size_t n = 0;
    for (size_t p = 0; pieces != NULL && p < work->n_pieces; p++) {
        if (work->pieces[p].archive == i && !work->pieces[p].is_loose)
            pieces[n++] = &work->pieces[p];
    }
    if (status == STATUS_OK)
        status = unpack(state->path, state->path, pieces, n, &state->n_members);
    if (status == STATUS_FORMAT)
        drop_download(work, i);
    free(pieces);
    return status;
}

/* Makes the piece's text, or tells why there is none. */
static enum status take_piece(struct work *work, struct work_piece *piece)
{
    struct work_archive *state = &work->archives[piece->archive];
    const struct dataset_archive *archive = &work->dataset->archives[piece->archive];
    enum status status = STATUS_OK;
    if (!state->is_tried) {
        state->is_tried = true;
        failure_keep(&state->failure, take_archive(work, piece->archive));
    }
    if (piece->is_found)
        return STATUS_OK;
    if (state->path == NULL && !piece->is_tried) {
        char *path = NULL;
        piece->is_tried = true;
        status = work_find_loose(work, piece, &path);
        if (status == STATUS_OK && path != NULL) {
            int64_t n_members = 0;
            piece->is_loose = true;
            status = unpack(path, path, &piece, 1, &n_members);
        }
        free(path);
        failure_keep(&piece->failure, status);
    }
    if (piece->is_found)
        return STATUS_OK;
    if (piece->failure.status < 0)
        return failure_return(&piece->failure);
    if (state->failure.status < 0)
        return failure_return(&state->failure);
    status = status_set(STATUS_FORMAT, "%s has no member %s", archive->name, piece->member);
    if (piece->nearest[0] != '\0')
        status_hint("the nearest name of its %" PRId64 " members is %s", state->n_members,
                    piece->nearest);
    else
        status_hint("it has no members at all");
    return status;
}

/* What is described of a side's text. */
static enum status check_side(const struct work *work, const struct dataset_side *side,
                              const struct work_piece *piece)
{
    if (work->values->no_verify || side->sha256 == NULL ||
        strcmp(side->sha256, piece->digest.sha256) == 0)
        return STATUS_OK;
    char shown[PRINTABLE_BYTES];
    const enum status status =
        status_set(STATUS_FORMAT, "%s: the text has the SHA-256 %s, but %s was published",
                   printable(shown, dataset_side_name(work->dataset, side)), piece->digest.sha256,
                   side->sha256);
    status_hint("it is damaged or another text: get it again, or take it with --no-verify");
    return status;
}

static enum status take_source(struct work *work, const struct dataset_source *source,
                               struct work_piece *sides[2])
{
    enum status status = STATUS_OK;
    for (int i = 0; i < 2 && status == STATUS_OK; i++) {
        sides[i] = find_piece(work, &source->sides[i]);
        CHECK(sides[i] != NULL, "side %d is not in the list", i);
        if ((status = take_piece(work, sides[i])) == STATUS_OK)
            status = check_side(work, &source->sides[i], sides[i]);
    }
    return status;
}

/* Chooses the first source that works; where none does, the first one's failure counts. */
static enum status choose(struct work *work, size_t t)
{
    const struct dataset_text *text = &work->dataset->texts[t];
    struct work_text *chosen = &work->texts[t];
    struct failure first = {0};
    enum status status = STATUS_OK;
    for (size_t s = 0; s < text->n_sources && chosen->source == NULL; s++) {
        status = take_source(work, &text->sources[s], chosen->sides);
        failure_keep(&first, status);
        if (status == STATUS_OK)
            chosen->source = &text->sources[s];
        else if (failure_is_final(status))
            break;
    }
    if (chosen->source != NULL && first.status < 0 &&
        (first.status == STATUS_FORMAT || !work_is_local(work)))
        fprintf(stderr, "mixt: %s; %s is taken from another place\n", first.message, text->name);
    if (status < 0 && !failure_is_final(status))
        status = failure_return(&first);
    failure_free(&first);
    return status;
}

/* What messages call a side. */
static const char *side_name(const struct work *work, size_t t, int side,
                             char shown[PRINTABLE_BYTES])
{
    return printable(shown, dataset_side_name(work->dataset, &work->texts[t].source->sides[side]));
}

static enum status check_count(const struct work *work, size_t t, int64_t lines)
{
    const struct dataset_text *text = &work->dataset->texts[t];
    if (work->values->no_verify || text->lines == 0 || lines == text->lines)
        return STATUS_OK;
    return status_set(STATUS_DATA, "%s has %" PRId64 " lines, but %" PRId64 " were published",
                      text->name, lines, text->lines);
}

/* Counts a text, where its lines are its segments. */
static enum status count_text(struct work *work, size_t t)
{
    struct work_text *text = &work->texts[t];
    const struct work_piece *source = text->sides[0], *target = text->sides[1];
    char shown[2][PRINTABLE_BYTES];
    if (source->lines != target->lines)
        return status_set(STATUS_DATA, "%s has %" PRId64 " lines, but %s has %" PRId64,
                          side_name(work, t, 0, shown[0]), source->lines,
                          side_name(work, t, 1, shown[1]), target->lines);
    text->lines = source->lines;
    if (work->dataset->texts[t].part != DATASET_TRAIN)
        return check_count(work, t, text->lines);
    work->pairs += text->lines;
    for (int64_t i = 0; i < text->lines; i++) {
        const int either = source->empty_lines.data[i / 8] | target->empty_lines.data[i / 8];
        work->empty_pairs += either >> (i % 8) & 1;
    }
    return check_count(work, t, text->lines);
}

enum status work_collect(struct work *work)
{
    for (size_t t = 0; t < work->dataset->n_texts; t++) {
        enum status status = choose(work, t);
        if (status < 0)
            return status;
        if (!dataset_is_sgml(work->dataset, &work->texts[t].source->sides[0]) &&
            (status = count_text(work, t)) < 0)
            return status;
    }
    return STATUS_OK;
}

static enum status copy(const char *path, FILE *output)
{
    char block[1 << 16];
    size_t got = 0;
    FILE *input = fopen(path, "rb");
    if (input == NULL)
        return status_set(STATUS_IO, "cannot open %s: %s", path, strerror(errno));
    while ((got = fread(block, 1, sizeof block, input)) > 0)
        fwrite(block, 1, got, output);
    const bool is_lost = ferror(input) != 0;
    fclose(input);
    return is_lost ? status_set(STATUS_IO, "cannot read %s: %s", path, strerror(errno)) : STATUS_OK;
}

/* Appends a text to the two files of its part. */
static enum status append_text(struct work *work, size_t t, FILE *const outputs[2])
{
    struct work_text *text = &work->texts[t];
    const char *const paths[2] = {text->sides[0]->path, text->sides[1]->path};
    enum status status = STATUS_OK;
    if (!dataset_is_sgml(work->dataset, &text->source->sides[0])) {
        if ((status = copy(paths[0], outputs[0])) == STATUS_OK)
            status = copy(paths[1], outputs[1]);
        return status;
    }
    char shown[2][PRINTABLE_BYTES];
    const char *const names[2] = {side_name(work, t, 0, shown[0]), side_name(work, t, 1, shown[1])};
    status = sgml_write_pair(paths, names, outputs, &text->lines);
    return status < 0 ? status : check_count(work, t, text->lines);
}

/* Writes "dev.en" and "dev.de" from the texts of the part. */
static enum status write_part(struct work *work, enum dataset_part part)
{
    struct work_file *const files[2] = {&work->files[work->n_files],
                                        &work->files[work->n_files + 1]};
    char *paths[2] = {NULL, NULL};
    FILE *outputs[2] = {NULL, NULL};
    int64_t lines = 0;
    enum status status = STATUS_OK;
    for (int i = 0; i < 2 && status == STATUS_OK; i++) {
        struct buffer name = {0};
        status =
            buffer_printf(&name, "%s.%s", dataset_part_name(part), work->dataset->languages[i]);
        files[i]->name = name.data;
        work->n_files++;
        if (status == STATUS_OK && (paths[i] = work_path(work->folder, name.data)) == NULL)
            status = STATUS_MEMORY;
        if (status == STATUS_OK && (outputs[i] = fopen(paths[i], "wb")) == NULL)
            status = status_set(STATUS_FAILED, "cannot create %s: %s", paths[i], strerror(errno));
    }
    for (size_t t = 0; t < work->dataset->n_texts && status == STATUS_OK; t++) {
        if (work->dataset->texts[t].part != part)
            continue;
        status = append_text(work, t, outputs);
        lines += work->texts[t].lines;
    }
    for (int i = 0; i < 2; i++) {
        const bool is_written = outputs[i] != NULL && fflush(outputs[i]) == 0 &&
                                ferror(outputs[i]) == 0 && fsync(fileno(outputs[i])) == 0;
        if (status == STATUS_OK && !is_written)
            status = cannot_write(paths[i]);
        if (outputs[i] != NULL)
            fclose(outputs[i]);
        const struct watch watch = {0};
        if (status == STATUS_OK)
            status = digest_file(paths[i], false, &watch, &files[i]->digest);
        files[i]->lines = lines;
        free(paths[i]);
    }
    return status;
}

enum status work_write_held_out(struct work *work)
{
    bool has_part[DATASET_N_PARTS] = {false};
    for (size_t t = 0; t < work->dataset->n_texts; t++)
        has_part[work->dataset->texts[t].part] = true;
    enum status status = STATUS_OK;
    for (int part = DATASET_DEV; part < DATASET_N_PARTS && status == STATUS_OK; part++) {
        if (has_part[part])
            status = write_part(work, (enum dataset_part)part);
    }
    return status;
}
