/* Making, locking, publishing and clearing of the directory, by POSIX calls. */
#include "text/prep/output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "text/prep/pairs_writer.h"

/* Calls run for the name of each entry but "." and ".."; stops at the first failure. */
static enum status for_each_entry(const char *directory,
                                  enum status (*run)(const struct output *output, const char *name),
                                  const struct output *output)
{
    DIR *stream = opendir(directory);
    if (stream == NULL)
        return status_set(STATUS_IO, "cannot open %s: %s", directory, strerror(errno));
    enum status status = STATUS_OK;
    for (const struct dirent *entry = readdir(stream); entry != NULL && status == STATUS_OK;
         entry = readdir(stream)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = run(output, entry->d_name);
    }
    closedir(stream);
    return status;
}

static enum status join(const char *directory, const char *name, char path[PATH_MAX])
{
    if (snprintf(path, PATH_MAX, "%s/%s", directory, name) >= PATH_MAX)
        return status_set(STATUS_IO, "cannot open %s/%s: the path is too long", directory, name);
    return STATUS_OK;
}

static enum status remove_unfinished(const struct output *output, const char *name)
{
    char path[PATH_MAX];
    const enum status status = join(output->unfinished, name, path);
    if (status < 0)
        return status;
    if (unlink(path) != 0 && errno != ENOENT)
        return status_set(STATUS_IO, "cannot remove %s: %s", path, strerror(errno));
    return STATUS_OK;
}

/* How much of the path exists: the rest is ours to remove again. */
static size_t existing_prefix(const char *directory)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", directory);
    while (!file_exists(path)) {
        char *slash = strrchr(path, '/');
        if (slash == NULL)
            return 0;
        *slash = '\0';
        if (slash == path)
            return 1;
    }
    return strlen(path);
}

static enum status lock_directory(struct output *output)
{
    output->lock = open(output->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (output->lock < 0)
        return status_set(STATUS_IO, "cannot open %s: %s", output->directory, strerror(errno));
    /* Some network file systems cannot lock; there users have to take care themselves. */
    if (flock(output->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return status_set(STATUS_CONFIG, "%s: another 'mixt prep' is writing to it",
                          output->directory);
    return STATUS_OK;
}

static enum status refuse_corpus(const struct output *output, bool overwrite)
{
    if (overwrite || !pairs_exist(output->directory))
        return STATUS_OK;
    const enum status status =
        status_set(STATUS_CONFIG, "%s holds a finished corpus already", output->directory);
    status_hint("--overwrite replaces it, or use another directory");
    return status;
}

/* Makes the subdirectory; one that a killed run left is emptied. */
static enum status make_unfinished(struct output *output)
{
    char path[PATH_MAX];
    enum status status = join(output->directory, PAIRS_UNFINISHED, path);
    if (status < 0)
        return status;
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return status_set(STATUS_IO, "cannot write to %s: %s", output->directory, strerror(errno));
    output->unfinished = strdup(path);
    if (output->unfinished == NULL)
        return status_set(STATUS_MEMORY, "no memory to open %s", output->directory);
    return for_each_entry(output->unfinished, remove_unfinished, output);
}

/* Removes the directories that were made, as far as they are empty. */
static void remove_made(const struct output *output)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", output->directory);
    while (strlen(path) > output->kept_prefix && rmdir(path) == 0) {
        char *slash = strrchr(path, '/');
        if (slash == NULL)
            break;
        *slash = '\0';
    }
}

/* Without the slashes at its end. */
static char *copy_path(const char *directory)
{
    char *path = strdup(directory);
    size_t size = path == NULL ? 0 : strlen(path);
    while (size > 1 && path[size - 1] == '/')
        path[--size] = '\0';
    return path;
}

enum status output_open(struct output *output, const char *directory, bool overwrite)
{
    *output = (struct output){.lock = -1};
    output->directory = copy_path(directory);
    if (output->directory == NULL)
        return status_set(STATUS_MEMORY, "no memory to open %s", directory);
    output->kept_prefix = existing_prefix(output->directory);
    enum status status = file_make_directories(output->directory);
    if (status == STATUS_OK)
        status = lock_directory(output);
    if (status == STATUS_OK)
        status = refuse_corpus(output, overwrite);
    if (status == STATUS_OK)
        status = make_unfinished(output);
    if (status < 0)
        output_close(output);
    return status;
}

enum status output_path(const struct output *output, const char *name, char path[PATH_MAX])
{
    return join(output->unfinished, name, path);
}

void output_text_name(enum pairs_side side, const char *name, char text[OUTPUT_NAME_BYTES])
{
    const char *stem = side == PAIRS_SOURCE ? "source" : "target";
    snprintf(text, OUTPUT_NAME_BYTES, "%s.%s", stem, strcmp(name, stem) == 0 ? "txt" : name);
}

enum status output_temporary(const struct output *output, FILE **stream)
{
    *stream = file_temporary(output->unfinished);
    return *stream != NULL ? STATUS_OK
                           : status_set(STATUS_IO, "cannot write to %s: %s", output->directory,
                                        strerror(errno));
}

/* "pairs-", digits, ".bin". */
static bool is_shard_name(const char *name)
{
    if (strncmp(name, "pairs-", 6) != 0)
        return false;
    const size_t digits = strspn(name + 6, "0123456789");
    return digits >= 5 && strcmp(name + 6 + digits, ".bin") == 0;
}

static enum status remove_old(const struct output *output, const char *name)
{
    char path[PATH_MAX];
    const enum status status = join(output->directory, name, path);
    if (status < 0)
        return status;
    if (unlink(path) != 0 && errno != ENOENT)
        return status_set(STATUS_IO, "cannot remove %s: %s", path, strerror(errno));
    return STATUS_OK;
}

static enum status remove_old_shard(const struct output *output, const char *name)
{
    return is_shard_name(name) ? remove_old(output, name) : STATUS_OK;
}

/* Removes the earlier corpus, its manifest first, and the plain text that came with it. */
static enum status remove_corpus(const struct output *output)
{
    struct manifest manifest;
    const enum status read = manifest_read(&manifest, output->directory);
    enum status status = remove_old(output, PAIRS_MANIFEST);
    for (int side = PAIRS_SOURCE; side <= PAIRS_TARGET && read == STATUS_OK && status == STATUS_OK;
         side++) {
        char name[OUTPUT_NAME_BYTES];
        output_text_name((enum pairs_side)side, manifest.names[side], name);
        status = remove_old(output, name);
    }
    if (status == STATUS_OK)
        status = for_each_entry(output->directory, remove_old_shard, output);
    manifest_free(&manifest);
    return status;
}

static enum status move(const struct output *output, const char *name)
{
    char from[PATH_MAX], to[PATH_MAX];
    enum status status = join(output->unfinished, name, from);
    if (status == STATUS_OK)
        status = join(output->directory, name, to);
    if (status == STATUS_OK && rename(from, to) != 0)
        status = status_set(STATUS_IO, "cannot rename to %s: %s", to, strerror(errno));
    return status;
}

static enum status sync_directory(const struct output *output)
{
    if (fsync(output->lock) != 0)
        return status_set(STATUS_IO, "cannot sync %s: %s", output->directory, strerror(errno));
    return STATUS_OK;
}

enum status output_publish(struct output *output, const struct manifest *manifest, bool has_text)
{
    enum status status = remove_corpus(output);
    for (size_t i = 0; i < manifest->n_shards && status == STATUS_OK; i++) {
        char file[MANIFEST_FILE_BYTES];
        manifest_shard_file(i, file);
        status = move(output, file);
    }
    for (int side = PAIRS_SOURCE; side <= PAIRS_TARGET && has_text && status == STATUS_OK; side++) {
        char name[OUTPUT_NAME_BYTES];
        output_text_name((enum pairs_side)side, manifest->names[side], name);
        status = move(output, name);
    }
    if (status == STATUS_OK)
        status = sync_directory(output);
    if (status == STATUS_OK)
        status = move(output, PAIRS_MANIFEST);
    return status < 0 ? status : sync_directory(output);
}

void output_close(struct output *output)
{
    if (output->directory == NULL)
        return;
    if (output->unfinished != NULL) {
        (void)for_each_entry(output->unfinished, remove_unfinished, output);
        (void)rmdir(output->unfinished);
    }
    remove_made(output);
    if (output->lock >= 0)
        close(output->lock);
    free(output->unfinished);
    free(output->directory);
    *output = (struct output){.lock = -1};
}
