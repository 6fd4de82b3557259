/* Test sets as sacreBLEU keeps them on disk: FOLDER/SET/SET.SRC-TRG.FIELD, one line a segment, with
 * '/' in SET as '_' and ':' in FIELD as '-' in the file's name; or FOLDER/SET/raw/ with the
 * published .sgm files, which are converted on the way. Which sets there are is read from the
 * folder; nothing is downloaded or written. */
#ifndef MIXT_TOOLS_BLEU_TESTSET_H
#define MIXT_TOOLS_BLEU_TESTSET_H

#include <stdio.h>

#include "base/buffer.h"
#include "text/lines.h"
#include "tools/bleu/testset_names.h"

struct testset {
    char *name;
    char *pair;                          /* "en-de" */
    struct testset_names fields;         /* src, ref or ref:A ..., docid, genre, origlang, others */
    char *raw_source;                    /* .sgm of the source; NULL where no raw file is needed */
    struct testset_names raw_references; /* .sgm of the references */
};

/* Appends $SACREBLEU, or .sacrebleu in the user's home. STATUS_MEMORY. */
enum status testset_folder(struct buffer *path) STATUS_CHECKED;

/* Finds the files of a set and language pair. STATUS_FAILED, with the place and the file that was
 * expected, where there is no source or reference; STATUS_IO; STATUS_MEMORY. Free it also then. */
enum status testset_find(struct testset *set, const char *name, const char *pair) STATUS_CHECKED;
void testset_free(struct testset *set);

bool testset_has_field(const struct testset *set, const char *field);

/* True for a field that holds a reference which the set is scored against. Of the sets of 2021 and
 * later, which come with several, this is sacreBLEU's choice. */
bool testset_is_reference(const struct testset *set, const char *field);

/* Opens the lines of a field that the set has. STATUS_IO, STATUS_MEMORY. */
enum status testset_open(const struct testset *set, const char *field,
                         struct lines **lines) STATUS_CHECKED;

/* Prints the sets of the folder with their language pairs, or the pairs and fields of one set
 * (name not NULL), one a line; pair (or NULL) leaves the others out. STATUS_FAILED where there is
 * nothing; STATUS_MEMORY. */
enum status testset_list(FILE *stream, const char *name, const char *pair) STATUS_CHECKED;

#endif
