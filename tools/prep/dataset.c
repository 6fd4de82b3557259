/* mixt prep DATASET: the order of the work, the folder it is done in, and what is said about it. */
#include "tools/prep/dataset.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "text/prep/pairs.h"
#include "tools/prep/prep.h"
#include "tools/prep/work.h"
#include "train/signals.h"

/* An empty file in OUT.part that says whose folder it is. */
static const char marker[] = ".mixt-prep";

static const char downloads_name[] = "downloads";

char *work_path(const char *folder, const char *name)
{
    struct buffer path = {0};
    const size_t size = strlen(folder);
    const char *slash = size > 0 && folder[size - 1] == '/' ? "" : "/";
    if (buffer_printf(&path, "%s%s%s", folder, slash, name) == STATUS_OK)
        return path.data;
    buffer_free(&path);
    return NULL;
}

/* Removes a file, or a folder with all that is in it, but the entries with the names of keep, which
 * ends with NULL. Links are not followed. What cannot be removed stays. */
static void remove_tree(const char *path, const char *const *keep)
{
    DIR *folder = NULL;
    const int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor >= 0 && (folder = fdopendir(descriptor)) == NULL)
        close(descriptor);
    if (folder == NULL) {
        unlink(path);
        return;
    }
    static const char *const nothing[] = {NULL};
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        bool is_kept = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
        for (size_t i = 0; keep[i] != NULL; i++)
            is_kept = is_kept || strcmp(entry->d_name, keep[i]) == 0;
        char *below = is_kept ? NULL : work_path(path, entry->d_name);
        if (below != NULL)
            remove_tree(below, nothing);
        free(below);
    }
    closedir(folder);
    rmdir(path);
}

static void remove_below(const char *folder, const char *name)
{
    static const char *const nothing[] = {NULL};
    char *path = work_path(folder, name);
    if (path != NULL)
        remove_tree(path, nothing);
    free(path);
}

/* True for a folder that is missing or has nothing in it. */
static bool is_vacant(const char *path)
{
    DIR *folder = opendir(path);
    if (folder == NULL)
        return !file_exists(path);
    int n_entries = 0;
    while (n_entries <= 2 && readdir(folder) != NULL)
        n_entries++;
    closedir(folder);
    return n_entries <= 2;
}

static bool has_entry(const char *folder, const char *name)
{
    char *path = work_path(folder, name);
    const bool is_there = path != NULL && file_exists(path);
    free(path);
    return is_there;
}

/* The names OUT and OUT.part. */
static enum status name_folders(struct work *work, const char *output)
{
    struct buffer name = {0};
    size_t size = strlen(output);
    while (size > 1 && output[size - 1] == '/')
        size--;
    enum status status = buffer_append(&name, output, size);
    work->output = name.data;
    if (status < 0)
        return status;
    const char *slash = strrchr(work->output, '/');
    const char *last = slash == NULL ? work->output : slash + 1;
    if (last[0] == '\0' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0) {
        status = status_set(STATUS_CONFIG, "'%s' cannot be the folder of a data set", output);
        status_hint("name one that is to be made");
        return status;
    }
    struct buffer part = {0};
    status = buffer_printf(&part, "%s.part", work->output);
    work->folder = part.data;
    return status;
}

/* True for what an earlier run made. */
static bool is_data_set(const char *folder)
{
    struct dataset *dataset = NULL;
    char *path = work_path(folder, "manifest.json");
    const bool is_good = path != NULL && dataset_load(&dataset, path) == STATUS_OK;
    dataset_free(dataset);
    free(path);
    return is_good;
}

/* The output may be made: it is vacant, or a data set that may be replaced. */
static enum status check_output(const struct work *work, bool overwrite)
{
    if (is_vacant(work->output) || (overwrite && is_data_set(work->output)))
        return STATUS_OK;
    const enum status status = status_set(STATUS_CONFIG, "%s exists already", work->output);
    status_hint(overwrite ? "it is no data set that could be replaced; name another folder"
                          : "name another folder, or replace it with --overwrite");
    return status;
}

/* Takes OUT.part, alone, and clears it of what a killed run left. */
static enum status take_folder(struct work *work)
{
    static const char *const kept[] = {marker, downloads_name, NULL};
    const bool is_new = is_vacant(work->folder);
    if (!is_new && !has_entry(work->folder, marker)) {
        const enum status status = status_set(
            STATUS_CONFIG, "%s is in the way, and is not of mixt's making", work->folder);
        status_hint("move it away, or name another output");
        return status;
    }
    enum status status = file_make_directories(work->folder);
    if (status < 0)
        return status;
    work->lock = open(work->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (work->lock < 0)
        return status_set(STATUS_IO, "cannot open %s: %s", work->folder, strerror(errno));
    if (flock(work->lock, LOCK_EX | LOCK_NB) != 0) {
        close(work->lock);
        work->lock = -1;
        return status_set(STATUS_CONFIG, "another mixt is at work in %s", work->folder);
    }
    char *path = work_path(work->folder, marker);
    const int descriptor =
        path == NULL ? -1 : open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (path != NULL && descriptor < 0)
        status = status_set(STATUS_IO, "cannot create %s: %s", path, strerror(errno));
    free(path);
    if (path == NULL || descriptor < 0)
        return path == NULL ? STATUS_MEMORY : status;
    close(descriptor);
    remove_tree(work->folder, kept);
    if ((path = work_path(work->folder, "unpacked")) == NULL)
        return STATUS_MEMORY;
    status = file_make_directories(path);
    free(path);
    return status;
}

/* Leaves nothing of OUT.part but downloads, and not even the folder where there are none. */
static void give_up_folder(const struct work *work)
{
    static const char *const kept[] = {marker, downloads_name, NULL};
    if (work->lock < 0)
        return;
    remove_tree(work->folder, kept);
    char *path = work_path(work->folder, downloads_name);
    if (path != NULL)
        rmdir(path); /* unless something is in it */
    if (!has_entry(work->folder, downloads_name)) {
        remove_below(work->folder, marker);
        rmdir(work->folder);
    }
    free(path);
}

/* Archives that an earlier run fetched for this output serve this one too. */
static void adopt_downloads(const struct work *work)
{
    char *from = work_path(work->output, downloads_name);
    char *to = work_path(work->folder, downloads_name);
    if (from != NULL && to != NULL && !file_exists(to) && file_is_directory(from))
        (void)rename(from, to); /* else they are fetched again */
    free(from);
    free(to);
}

/* OUT.part becomes OUT. */
static enum status publish(const struct work *work)
{
    static const char *const nothing[] = {NULL};
    struct buffer old = {0};
    enum status status = buffer_printf(&old, "%s.old", work->folder);
    if (status < 0)
        return status;
    remove_below(work->folder, "unpacked");
    const bool is_replaced = !is_vacant(work->output);
    if (is_replaced && rename(work->output, old.data) != 0)
        status = status_set(STATUS_IO, "cannot move %s aside: %s", work->output, strerror(errno));
    else if (rename(work->folder, work->output) != 0)
        status = status_set(STATUS_IO, "cannot rename %s to %s: %s", work->folder, work->output,
                            strerror(errno));
    if (status < 0 && is_replaced)
        (void)rename(old.data, work->output); /* as it was, as far as possible */
    else if (is_replaced)
        remove_tree(old.data, nothing);
    if (status == STATUS_OK)
        remove_below(work->output, marker);
    buffer_free(&old);
    return status;
}

static enum status work_open(struct work *work, const struct prep_dataset_values *values,
                             const struct dataset *dataset, const struct prep_options *options)
{
    work->values = values;
    work->dataset = dataset;
    work->archives = calloc(dataset->n_archives, sizeof *work->archives);
    work->texts = calloc(dataset->n_texts, sizeof *work->texts);
    work->files = calloc(2 * (size_t)DATASET_N_PARTS, sizeof *work->files);
    if (!work->archives || !work->texts || !work->files)
        return status_set(STATUS_MEMORY, "no memory for the data set %s", dataset->name);
    enum status status = name_folders(work, options->output);
    if (status < 0 || (status = check_output(work, options->overwrite)) < 0)
        return status;
    work->downloads = values->downloads != NULL ? strdup(values->downloads)
                                                : work_path(work->folder, downloads_name);
    if (work->downloads == NULL)
        return status_set(STATUS_MEMORY, "no memory for the data set %s", dataset->name);
    if (work_is_local(work) && !file_is_directory(values->from)) {
        status = status_set(STATUS_IO, "--from: %s is not a folder", values->from);
        status_hint("the address of a mirror begins with http:// or https://");
        return status;
    }
    if ((status = take_folder(work)) < 0)
        return status;
    if (values->downloads == NULL && !work_is_local(work))
        adopt_downloads(work);
    return work_list_pieces(work);
}

static void work_close(struct work *work)
{
    for (size_t i = 0; work->archives != NULL && i < work->dataset->n_archives; i++) {
        free(work->archives[i].path);
        failure_free(&work->archives[i].failure);
    }
    for (size_t i = 0; i < work->n_pieces; i++) {
        free(work->pieces[i].path);
        failure_free(&work->pieces[i].failure);
        buffer_free(&work->pieces[i].empty_lines);
    }
    for (size_t i = 0; i < work->n_files; i++)
        free(work->files[i].name);
    free(work->archives);
    free(work->pieces);
    free(work->texts);
    free(work->files);
    free(work->output);
    free(work->folder);
    free(work->downloads);
    if (work->lock >= 0)
        close(work->lock);
}

/* The published number of pairs lies between the two that can be meant: "empty" is a side without a
 * byte, or one without a visible character. */
static enum status check_pairs(const struct work *work, int64_t n_blank)
{
    const struct dataset *dataset = work->dataset;
    const double slack = floor(dataset->tolerance * (double)dataset->pairs);
    const int64_t least = dataset->pairs - (int64_t)slack, most = dataset->pairs + (int64_t)slack;
    if (work->values->no_verify || dataset->pairs == 0 ||
        (work->pairs - work->empty_pairs >= least && work->pairs - n_blank <= most))
        return STATUS_OK;
    return status_set(STATUS_DATA,
                      "%s has %" PRId64
                      " training pairs without those that are empty, but %s%" PRId64
                      " were published",
                      dataset->name, work->pairs - work->empty_pairs,
                      dataset->tolerance > 0 ? "about " : "", dataset->pairs);
}

/* Cleans the training texts into OUT.part/train, and forgets the raw ones. */
static enum status make_corpus(struct work *work, const struct prep_options *given,
                               struct buffer *report_json, int64_t *pairs, uint64_t *hash)
{
    struct prep_options options = *given;
    struct prep_report report = {0};
    struct prep_input *inputs = calloc(work->dataset->n_texts, sizeof *inputs);
    char *folder = work_path(work->folder, dataset_part_name(DATASET_TRAIN));
    enum status status = STATUS_OK;
    *pairs = -1;
    options.n_inputs = 0;
    for (size_t t = 0; inputs != NULL && t < work->dataset->n_texts; t++) {
        const struct work_text *text = &work->texts[t];
        if (work->dataset->texts[t].part == DATASET_TRAIN)
            inputs[options.n_inputs++] =
                (struct prep_input){text->sides[0]->path, text->sides[1]->path};
    }
    if (inputs == NULL || folder == NULL)
        status = status_set(STATUS_MEMORY, "no memory for the data set");
    if (status < 0 || options.n_inputs == 0)
        goto done;
    options.inputs = inputs;
    options.output = folder;
    options.overwrite = false;
    options.source_language = work->dataset->languages[0];
    options.target_language = work->dataset->languages[1];
    if ((status = prep_run_shown(&options, &report)) < 0 ||
        (status = check_pairs(work, report.dropped[PREP_EMPTY].count)) < 0)
        goto done;
    struct pairs *corpus = NULL;
    if ((status = pairs_open(&corpus, folder)) == STATUS_OK) {
        *pairs = pairs_count(corpus);
        *hash = pairs_hash(corpus);
        pairs_close(corpus);
        status = prep_report_append_json(&report, &options, report_json);
    }
done:
    prep_report_free(&report);
    free(inputs);
    free(folder);
    return status;
}

/* One line on each part, and one on each archive that was not the published one. */
static void say_done(const struct work *work, int64_t pairs)
{
    for (size_t i = 0; i < work->dataset->n_archives; i++) {
        if (work->archives[i].is_other)
            fprintf(stderr, "mixt: %s is not the published archive; taken because of --no-verify\n",
                    work->dataset->archives[i].name);
    }
    for (size_t i = 0; i < work->n_pieces; i++) {
        if (work->pieces[i].is_loose && work->pieces[i].is_found)
            fprintf(stderr, "mixt: %s was found unpacked; the archive was not compared\n",
                    work->pieces[i].member != NULL
                        ? work->pieces[i].member
                        : work->dataset->archives[work->pieces[i].archive].name);
    }
    fprintf(stderr, "mixt: %s: ", work->output);
    if (pairs >= 0)
        fprintf(stderr, "train %" PRId64 " pairs", pairs);
    for (size_t i = 0; i < work->n_files; i += 2)
        fprintf(stderr, "%s%.*s %" PRId64, i > 0 || pairs >= 0 ? ", " : "",
                (int)strcspn(work->files[i].name, "."), work->files[i].name, work->files[i].lines);
    fputc('\n', stderr);
}

static enum status make(struct work *work, const struct prep_options *options)
{
    struct buffer report = {0};
    int64_t pairs = -1;
    uint64_t hash = 0;
    enum status status = work_collect(work);
    if (status == STATUS_OK)
        status = work_write_held_out(work);
    if (status == STATUS_OK)
        status = make_corpus(work, options, &report, &pairs, &hash);
    if (status == STATUS_OK)
        status = work_write_manifest(work, report.data, pairs, hash);
    if (status == STATUS_OK && signals_stop() != 0)
        status = status_set(STATUS_INTERRUPTED, "interrupted");
    if (status == STATUS_OK)
        status = publish(work);
    if (status == STATUS_OK)
        say_done(work, pairs);
    buffer_free(&report);
    return status;
}

static enum status unknown_name(const char *name)
{
    const char *names[16] = {NULL};
    size_t n = 0;
    while (n < 16 && (names[n] = dataset_builtin_name(n)) != NULL)
        n++;
    const char *nearest = options_nearest(name, names, n);
    const enum status status = status_set(STATUS_CONFIG, "unknown data set '%s'", name);
    if (nearest != NULL)
        status_hint("did you mean '%s'?", nearest);
    return status;
}

enum status prep_dataset_run(const struct prep_dataset_values *values,
                             const struct prep_options *options)
{
    struct dataset *loaded = NULL;
    const struct dataset *dataset = values->file == NULL ? dataset_find(values->name) : NULL;
    enum status status = STATUS_OK;
    if (values->file != NULL && (status = dataset_load(&loaded, values->file)) < 0)
        return status;
    if (loaded != NULL)
        dataset = loaded;
    if (dataset == NULL)
        return unknown_name(values->name);
    signals_watch();
    struct work work = {.lock = -1};
    status = work_open(&work, values, dataset, options);
    if (status == STATUS_OK)
        status = make(&work, options);
    if (status == STATUS_INTERRUPTED && has_entry(work.folder, downloads_name))
        status_hint("the same command goes on with what was fetched");
    if (status < 0)
        give_up_folder(&work);
    work_close(&work);
    dataset_free(loaded);
    return status;
}
