/* What the parts of `mixt prep DATASET` share: the archives and texts of one run, and how far each
 * of them is. */
#ifndef MIXT_TOOLS_PREP_WORK_H
#define MIXT_TOOLS_PREP_WORK_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "text/prep/dataset.h"
#include "text/prep/digest.h"
#include "text/prep/printable.h"
#include "tools/prep/dataset.h"

/* A failure put aside, while another way is tried. */
struct failure {
    enum status status;
    char *message; /* owned */
    char *hint;    /* owned */
};

/* Keeps the status and its message, unless one is kept already. */
void failure_keep(struct failure *failure, enum status status);

/* Sets the message again and returns the status. */
enum status failure_return(const struct failure *failure);

void failure_free(struct failure *failure);

/* True for what no other archive or address can mend: a full disk, memory, a signal. */
bool failure_is_final(enum status status);

/* An archive of the data set, obtained or not. */
struct work_archive {
    bool is_tried; /* to obtain it and to unpack it */
    struct failure failure;
    char *path;                  /* owned; NULL while not obtained */
    struct digest_result digest; /* of the file */
    bool is_other;               /* not the published one, and taken nevertheless */
    int64_t n_members;
};

/* A file of a source: one side of a text, at one of the places where it may be found. */
struct work_piece {
    size_t archive;
    const char *member; /* NULL: the archive itself */
    char *path;         /* owned: where its text is written */
    bool is_tried;
    bool is_found;
    bool is_loose; /* came as a file of its own beside the archives, which were not there */
    struct failure failure;
    char nearest[PRINTABLE_BYTES]; /* name in the archive, where it is not found */
    int64_t lines;
    struct digest_result digest; /* of the text as it was unpacked */
    struct buffer empty_lines;   /* a bit a line: no byte in it */
};

/* A text, from the place that was chosen. */
struct work_text {
    const struct dataset_source *source; /* NULL while not chosen */
    struct work_piece *sides[2];
    int64_t lines; /* pairs; of SGML, segments */
};

/* A file that was written. */
struct work_file {
    char *name; /* owned; in the folder */
    int64_t lines;
    struct digest_result digest;
};

struct work {
    const struct prep_dataset_values *values;
    const struct dataset *dataset;
    char *output;                  /* OUT without slashes at its end; owned */
    char *folder;                  /* OUT.part; owned */
    char *downloads;               /* owned */
    int lock;                      /* descriptor of the folder; -1: not locked */
    struct work_archive *archives; /* [dataset->n_archives] */
    struct work_piece *pieces;     /* [n_pieces] */
    size_t n_pieces;
    struct work_text *texts; /* [dataset->n_texts] */
    struct work_file *files; /* [n_files] */
    size_t n_files;
    int64_t pairs;       /* of the training text, as read */
    int64_t empty_pairs; /* of them, with a side without a byte */
};

/* tools/prep/obtain.c: makes archives[i].path a file that is what was published (or is taken
 * nevertheless), from the folder, the mirror or the published addresses. In a folder where it is
 * missing: STATUS_IO. */
enum status work_obtain(struct work *work, size_t i) STATUS_CHECKED;

/* Looks in the folder of --from for the piece as a file of its own; *path, owned, or NULL. */
enum status work_find_loose(const struct work *work, const struct work_piece *piece,
                            char **path) STATUS_CHECKED;

/* True where --from names a folder. */
bool work_is_local(const struct work *work);

/* tools/prep/collect.c: makes the list of pieces. */
enum status work_list_pieces(struct work *work) STATUS_CHECKED;

/* Unpacks what is needed and chooses a source for each text; checks hashes and counts. */
enum status work_collect(struct work *work) STATUS_CHECKED;

/* Writes dev and test files. */
enum status work_write_held_out(struct work *work) STATUS_CHECKED;

/* tools/prep/made.c: writes manifest.json. report is the JSON text of the rules' report or NULL,
 * corpus_pairs and corpus_hash are about the folder train; -1 without one. */
enum status work_write_manifest(struct work *work, const char *report, int64_t corpus_pairs,
                                uint64_t corpus_hash) STATUS_CHECKED;

/* Path of a name in a folder; owned. NULL without memory, with the status set. */
char *work_path(const char *folder, const char *name);

#endif
