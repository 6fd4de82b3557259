/* manifest.json of a data set: its description with what was found in the place of what was
 * expected, and an account of the run under "made". */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/file.h"
#include "tools/prep/work.h"

/* The description of what was taken: one source a text, and hashes as found. */
struct found {
    struct dataset dataset;
    struct dataset_archive *archives;
    struct dataset_text *texts;
    struct dataset_source *sources; /* [n_texts] */
};

static void found_free(struct found *found)
{
    free(found->archives);
    free(found->texts);
    free(found->sources);
}

/* Keeps the archives that serve a chosen source; numbers [n_archives] are their new indices. The
 * hash of a local copy that nothing was compared with says little about what stands at the
 * addresses, so it is left to "made". */
static void keep_archives(const struct work *work, struct found *found, size_t *numbers)
{
    size_t n = 0;
    for (size_t i = 0; i < work->dataset->n_archives; i++) {
        bool is_used = false;
        for (size_t t = 0; t < work->dataset->n_texts; t++) {
            const struct dataset_side *sides = work->texts[t].source->sides;
            is_used = is_used || sides[0].archive == i || sides[1].archive == i;
        }
        if (!is_used)
            continue;
        const struct work_archive *state = &work->archives[i];
        struct dataset_archive *archive = &found->archives[n];
        *archive = work->dataset->archives[i];
        const bool had_hash = archive->sha256 != NULL || archive->md5 != NULL;
        if (state->path != NULL && (had_hash || !work_is_local(work))) {
            archive->bytes = state->digest.bytes;
            archive->sha256 = state->digest.sha256;
            archive->md5 = archive->md5 == NULL ? NULL : state->digest.md5;
        }
        numbers[i] = n++;
    }
    found->dataset.n_archives = n;
}

static enum status describe(const struct work *work, struct found *found)
{
    const struct dataset *dataset = work->dataset;
    size_t *numbers = calloc(dataset->n_archives, sizeof *numbers);
    found->archives = calloc(dataset->n_archives, sizeof *found->archives);
    found->texts = calloc(dataset->n_texts, sizeof *found->texts);
    found->sources = calloc(dataset->n_texts, sizeof *found->sources);
    if (!numbers || !found->archives || !found->texts || !found->sources) {
        free(numbers);
        return status_set(STATUS_MEMORY, "no memory for the manifest");
    }
    found->dataset = *dataset;
    found->dataset.archives = found->archives;
    found->dataset.texts = found->texts;
    found->dataset.pairs = work->pairs - work->empty_pairs;
    found->dataset.tolerance = 0;
    keep_archives(work, found, numbers);
    for (size_t t = 0; t < dataset->n_texts; t++) {
        const struct work_text *text = &work->texts[t];
        found->sources[t] = *text->source;
        for (int i = 0; i < 2; i++) {
            struct dataset_side *side = &found->sources[t].sides[i];
            side->archive = numbers[side->archive];
            side->sha256 = text->sides[i]->digest.sha256;
        }
        found->texts[t] = dataset->texts[t];
        found->texts[t].lines = text->lines;
        found->texts[t].sources = &found->sources[t];
        found->texts[t].n_sources = 1;
    }
    free(numbers);
    return STATUS_OK;
}

/* The archives that were read; "published": whether what is known of them was found. */
static json_t *archives_json(const struct work *work)
{
    json_t *list = json_array();
    for (size_t i = 0; i < work->dataset->n_archives; i++) {
        const struct work_archive *state = &work->archives[i];
        if (state->path != NULL)
            json_array_append_new(
                list, json_pack("{s:s, s:I, s:s, s:b}", "name", work->dataset->archives[i].name,
                                "bytes", (json_int_t)state->digest.bytes, "sha256",
                                state->digest.sha256, "published", !state->is_other));
    }
    return list;
}

static json_t *files_json(const struct work *work)
{
    json_t *list = json_array();
    for (size_t i = 0; i < work->n_files; i++) {
        const struct work_file *file = &work->files[i];
        json_array_append_new(list, json_pack("{s:s, s:I, s:I, s:s}", "name", file->name, "lines",
                                              (json_int_t)file->lines, "bytes",
                                              (json_int_t)file->digest.bytes, "sha256",
                                              file->digest.sha256));
    }
    return list;
}

static json_t *corpus_json(const struct work *work, int64_t pairs, uint64_t hash)
{
    char digits[17];
    snprintf(digits, sizeof digits, "%016" PRIx64, hash);
    return json_pack("{s:s, s:I, s:I, s:I, s:s}", "folder", "train", "lines",
                     (json_int_t)work->pairs, "empty", (json_int_t)work->empty_pairs, "pairs",
                     (json_int_t)pairs, "hash", digits);
}

/* JSON text, owned; NULL without memory. */
static char *account(const struct work *work, const char *report, int64_t pairs, uint64_t hash)
{
    json_t *made = json_pack("{s:s, s:b, s:o, s:o}", "by", "mixt " MIXT_VERSION, "verified",
                             !work->values->no_verify, "archives", archives_json(work), "files",
                             files_json(work));
    bool is_good = made != NULL;
    if (is_good && pairs >= 0)
        is_good = json_object_set_new(made, "train", corpus_json(work, pairs, hash)) == 0;
    if (is_good && report != NULL)
        is_good = json_object_set_new(made, "report", json_loads(report, 0, NULL)) == 0;
    char *text = is_good ? json_dumps(made, JSON_COMPACT) : NULL;
    json_decref(made);
    return text;
}

enum status work_write_manifest(struct work *work, const char *report, int64_t corpus_pairs,
                                uint64_t corpus_hash)
{
    struct found found = {0};
    struct buffer text = {0};
    struct file_writer writer = {0};
    char *path = work_path(work->folder, "manifest.json");
    char *made = account(work, report, corpus_pairs, corpus_hash);
    enum status status = path == NULL || made == NULL
                             ? status_set(STATUS_MEMORY, "no memory for the manifest")
                             : describe(work, &found);
    if (status == STATUS_OK)
        status = dataset_append_json(&found.dataset, made, &text);
    if (status == STATUS_OK && (status = file_create(&writer, path)) == STATUS_OK) {
        fwrite(text.data, 1, text.size, writer.stream);
        status = file_commit(&writer);
    }
    found_free(&found);
    buffer_free(&text);
    free(made);
    free(path);
    return status;
}
