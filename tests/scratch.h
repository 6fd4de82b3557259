/* Files that a test may write: a fresh directory under TMPDIR, removed at the end. */
#ifndef MIXT_TESTS_SCRATCH_H
#define MIXT_TESTS_SCRATCH_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct scratch {
    char directory[256];
    char path[512]; /* of scratch_path() */
};

static inline void scratch_open(struct scratch *scratch)
{
    const char *parent = getenv("TMPDIR");
    snprintf(scratch->directory, sizeof scratch->directory, "%s/mixt-test-XXXXXX",
             parent && *parent ? parent : P_tmpdir);
    if (!mkdtemp(scratch->directory)) {
        perror(scratch->directory);
        exit(1);
    }
}

/* The path of a file in the directory; valid until the next call. */
static inline const char *scratch_path(struct scratch *scratch, const char *name)
{
    snprintf(scratch->path, sizeof scratch->path, "%s/%s", scratch->directory, name);
    return scratch->path;
}

/* Writes a file and returns its path. */
static inline const char *scratch_write(struct scratch *scratch, const char *name,
                                        const void *bytes, size_t size)
{
    const char *path = scratch_path(scratch, name);
    FILE *stream = fopen(path, "wb");
    if (!stream || fwrite(bytes, 1, size, stream) != size || fclose(stream) != 0) {
        perror(path);
        exit(1);
    }
    return path;
}

static inline void scratch_close(struct scratch *scratch)
{
    DIR *directory = opendir(scratch->directory);
    for (struct dirent *entry = NULL; directory && (entry = readdir(directory));)
        if (entry->d_name[0] != '.')
            unlink(scratch_path(scratch, entry->d_name));
    if (directory)
        closedir(directory);
    rmdir(scratch->directory);
}

#endif
