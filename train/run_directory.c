/* Run directories and their lock. */
#include "train/run_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

static enum status take_lock(struct run_directory *directory)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/lock", directory->path);
    directory->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (directory->lock < 0)
        return status_set(STATUS_IO, "cannot write in %s: %s", directory->path, strerror(errno));
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(directory->lock, F_OFD_SETLK, &whole) == 0)
        return STATUS_OK;
    if (errno == EAGAIN || errno == EACCES) {
        (void)status_set(STATUS_IO, "%s is in use by another training", directory->path);
        status_hint("wait for it, or use another save.dir");
        return STATUS_IO;
    }
    return status_set(STATUS_IO, "cannot lock %s: %s", path, strerror(errno));
}

enum status run_directory_open(struct run_directory *directory, const char *path)
{
    *directory = (struct run_directory){.path = path, .lock = -1};
    char last[PATH_MAX];
    snprintf(last, sizeof last, "%s/last", path);
    enum status status = file_make_directories(last);
    if (status >= 0)
        status = take_lock(directory);
    if (status < 0)
        run_directory_close(directory);
    return status;
}

void run_directory_close(struct run_directory *directory)
{
    if (directory->path && directory->lock >= 0)
        close(directory->lock);
    *directory = (struct run_directory){.lock = -1};
}

enum status run_directory_write_config(const struct run_directory *directory,
                                       const struct config *config)
{
    char path[PATH_MAX];
    struct buffer text = {0};
    struct file_writer writer = {0};
    snprintf(path, sizeof path, "%s/config.yaml", directory->path);
    enum status status = config_write(config, CONFIG_PART_ALL, &text);
    if (status >= 0)
        status = file_create(&writer, path);
    if (status >= 0) {
        fwrite(text.data, 1, text.size, writer.stream);
        status = file_commit(&writer);
    }
    file_discard(&writer);
    buffer_free(&text);
    return status;
}
