/* File reading and atomic replacement by POSIX calls. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum status file_read(const char *path, size_t limit, struct buffer *buffer)
{
    FILE *stream = fopen(path, "rb");
    if (!stream)
        return status_set(STATUS_IO, "cannot open %s: %s", path, strerror(errno));
    enum status status = STATUS_OK;
    const size_t start = buffer->size;
    for (;;) {
        char block[1 << 16];
        const size_t got = fread(block, 1, sizeof block, stream);
        if (got == 0)
            break;
        if (buffer->size - start + got > limit) {
            status =
                status_set(STATUS_FORMAT, "%s is larger than the %zu bytes allowed", path, limit);
            break;
        }
        if ((status = buffer_append(buffer, block, got)) < 0)
            break;
    }
    if (status == STATUS_OK && ferror(stream))
        status = status_set(STATUS_IO, "cannot read %s: %s", path, strerror(errno));
    fclose(stream);
    return status;
}

/* The directory part of a path, "." where it has none. */
static void directory_of(const char *path, char directory[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        snprintf(directory, PATH_MAX, ".");
    else if (slash == path)
        snprintf(directory, PATH_MAX, "/");
    else
        snprintf(directory, PATH_MAX, "%.*s", (int)(slash - path), path);
}

enum status file_create(struct file_writer *writer, const char *path)
{
    *writer = (struct file_writer){0};
    const size_t length = strlen(path);
    writer->final_path = strdup(path);
    writer->temporary_path = malloc(length + 32);
    if (!writer->final_path || !writer->temporary_path) {
        file_discard(writer);
        return status_set(STATUS_MEMORY, "no memory for the name of %s", path);
    }
    int descriptor = -1;
    for (int try = 0; try < 100 && descriptor < 0; try++) {
        snprintf(writer->temporary_path, length + 32, "%s.%ld.%d.tmp", path, (long)getpid(), try);
        descriptor = open(writer->temporary_path,
                          O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (descriptor < 0 && errno != EEXIST)
            break;
    }
    writer->stream = descriptor < 0 ? NULL : fdopen(descriptor, "wb");
    if (!writer->stream) {
        const enum status status =
            status_set(STATUS_IO, "cannot create %s: %s", path, strerror(errno));
        if (descriptor >= 0)
            close(descriptor);
        else
            writer->temporary_path[0] = '\0';
        file_discard(writer);
        return status;
    }
    return STATUS_OK;
}

enum status file_commit(struct file_writer *writer)
{
    char directory[PATH_MAX];
    directory_of(writer->final_path, directory);
    const bool had_error = ferror(writer->stream) != 0;
    const bool flushed = fflush(writer->stream) == 0 && fsync(fileno(writer->stream)) == 0;
    int error = errno;
    const bool closed = fclose(writer->stream) == 0;
    if (flushed && !closed)
        error = errno;
    writer->stream = NULL;
    enum status status = STATUS_OK;
    if (had_error || !flushed || !closed)
        status = status_set(STATUS_IO, "cannot write %s: %s", writer->final_path,
                            error ? strerror(error) : "write error");
    else if (rename(writer->temporary_path, writer->final_path) != 0)
        status =
            status_set(STATUS_IO, "cannot rename to %s: %s", writer->final_path, strerror(errno));
    if (status == STATUS_OK) {
        writer->temporary_path[0] = '\0';
        const int descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (descriptor < 0 || fsync(descriptor) != 0)
            status =
                status_set(STATUS_IO, "cannot sync directory %s: %s", directory, strerror(errno));
        if (descriptor >= 0)
            close(descriptor);
    }
    file_discard(writer);
    return status;
}

void file_discard(struct file_writer *writer)
{
    if (writer->stream)
        fclose(writer->stream);
    if (writer->temporary_path && writer->temporary_path[0])
        unlink(writer->temporary_path);
    free(writer->final_path);
    free(writer->temporary_path);
    *writer = (struct file_writer){0};
}

FILE *file_temporary(const char *directory)
{
    int descriptor = -1;
    if (directory == NULL) {
        descriptor = memfd_create("temporary", MFD_CLOEXEC);
    } else {
        char path[PATH_MAX];
        const int size = snprintf(path, sizeof path, "%s/.mixt-XXXXXX", directory);
        if (size < 0 || (size_t)size >= sizeof path) {
            errno = ENAMETOOLONG;
            return NULL;
        }
        descriptor = mkostemp(path, O_CLOEXEC);
        if (descriptor >= 0)
            unlink(path);
    }
    FILE *stream = descriptor < 0 ? NULL : fdopen(descriptor, "w+");
    if (stream == NULL && descriptor >= 0)
        close(descriptor);
    return stream;
}

enum status file_make_directories(const char *path)
{
    char part[PATH_MAX];
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
        return status_set(STATUS_IO, "cannot make directory %s: the path is too long", path);
    for (char *cursor = part + 1;; cursor++) {
        if (*cursor != '/' && *cursor != '\0')
            continue;
        const char ending = *cursor;
        *cursor = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST)
            return status_set(STATUS_IO, "cannot make directory %s: %s", part, strerror(errno));
        *cursor = ending;
        if (ending == '\0')
            break;
    }
    if (!file_is_directory(path))
        return status_set(STATUS_IO, "cannot make directory %s: a file has this name", path);
    return STATUS_OK;
}

bool file_exists(const char *path)
{
    struct stat information;
    return stat(path, &information) == 0;
}

bool file_is_directory(const char *path)
{
    struct stat information;
    return stat(path, &information) == 0 && S_ISDIR(information.st_mode);
}
