/* Whole folders that a test may write: made, compared and removed with what is in them. */
#ifndef MIXT_TESTS_FOLDER_H
#define MIXT_TESTS_FOLDER_H

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

enum { FOLDER_PATH_BYTES = 512 };

struct folder {
    char path[FOLDER_PATH_BYTES];
};

static inline void folder_open(struct folder *folder)
{
    const char *parent = getenv("TMPDIR");
    snprintf(folder->path, sizeof folder->path, "%s/mixt-test-XXXXXX",
             parent != NULL && *parent != '\0' ? parent : P_tmpdir);
    if (mkdtemp(folder->path) == NULL) {
        perror(folder->path);
        exit(1);
    }
}

static inline int folder_remove_entry(const char *path, const struct stat *information, int type,
                                      struct FTW *place)
{
    (void)information, (void)type, (void)place;
    return remove(path);
}

/* Removes a folder with all that is in it; one that is not there is fine. */
static inline void folder_remove(const char *path)
{
    (void)nftw(path, folder_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void folder_join(const struct folder *folder, const char *name,
                               char path[FOLDER_PATH_BYTES])
{
    if (snprintf(path, FOLDER_PATH_BYTES, "%s/%s", folder->path, name) >= FOLDER_PATH_BYTES)
        exit(1);
}

/* Entries of a folder but "." and "..". */
static inline int folder_count(const char *path)
{
    DIR *stream = opendir(path);
    int n = 0;
    for (const struct dirent *entry = NULL; stream != NULL && (entry = readdir(stream)) != NULL;)
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (stream != NULL)
        closedir(stream);
    return stream == NULL ? -1 : n;
}

static inline void folder_write(const char *path, const void *bytes, size_t size)
{
    FILE *stream = fopen(path, "wb");
    if (stream == NULL || fwrite(bytes, 1, size, stream) != size || fclose(stream) != 0) {
        perror(path);
        exit(1);
    }
}

/* Reads a file; the buffer is to be freed. */
static inline struct buffer folder_read(const char *path)
{
    struct buffer bytes = {0};
    if (file_read(path, (size_t)1 << 30, &bytes) < 0) {
        status_print();
        exit(1);
    }
    return bytes;
}

#endif
