/* A run's directory: made, proven writable and locked before any work is done. */
#ifndef MIXT_TRAIN_RUN_DIRECTORY_H
#define MIXT_TRAIN_RUN_DIRECTORY_H

#include "model/config.h"

struct run_directory {
    const char *path; /* borrowed */
    int lock;         /* descriptor of PATH/lock while locked, -1 else */
};

/* Makes PATH and PATH/last and takes the lock, which ends with the process whatever ends it.
 * STATUS_IO when another process holds it or nothing can be written there. */
enum status run_directory_open(struct run_directory *directory, const char *path) STATUS_CHECKED;
void run_directory_close(struct run_directory *directory);

/* Writes the merged configuration to PATH/config.yaml. */
enum status run_directory_write_config(const struct run_directory *directory,
                                       const struct config *config) STATUS_CHECKED;

#endif
