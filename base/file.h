/* Whole files, read with a limit and written so that a reader sees the old one or the new one. */
#ifndef MIXT_BASE_FILE_H
#define MIXT_BASE_FILE_H

#include <stdint.h>
#include <stdio.h>

#include "base/buffer.h"

/* Appends a regular file's bytes to buffer. STATUS_IO when it cannot be read, STATUS_FORMAT when it
 * is larger than limit bytes. */
enum status file_read(const char *path, size_t limit, struct buffer *buffer) STATUS_CHECKED;

/* A file being written under a temporary name in the directory of its final one. */
struct file_writer {
    FILE *stream;         /* write here; errors may wait for file_commit() */
    char *final_path;     /* owned */
    char *temporary_path; /* owned */
};

/* Creates the temporary file (new, never through a link). */
enum status file_create(struct file_writer *writer, const char *path) STATUS_CHECKED;

/* Flushes, syncs, renames to the final name and syncs the directory; then the writer is empty. On
 * error the final name is untouched and the temporary file is gone. */
enum status file_commit(struct file_writer *writer) STATUS_CHECKED;

/* Drops an uncommitted file; does nothing to an empty or committed writer. */
void file_discard(struct file_writer *writer);

/* Opens a new file without a name, to write and to read, that is gone once it is closed: in
 * directory, or where that is NULL in memory. NULL, with errno set, when there can be none. */
FILE *file_temporary(const char *directory);

/* Makes a directory and those above it; one that exists is fine. */
enum status file_make_directories(const char *path) STATUS_CHECKED;

bool file_exists(const char *path);
bool file_is_directory(const char *path);

#endif
