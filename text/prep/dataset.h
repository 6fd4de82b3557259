/* What a parallel data set is made of: archives, the texts in them, and what is known about both.
 *
 * As JSON (--dataset), with the same names:
 *
 *   {"format": "mixt-dataset", "version": 1, "name": "my-set", "languages": ["en", "de"],
 *    "archives": [{"name": "a.tgz", "urls": ["https://..."], "bytes": 10, "sha256": "...",
 *                  "md5": "..."}],
 *    "texts": [{"part": "train", "name": "news", "lines": 5,
 *               "sides": [{"archive": "a.tgz", "member": "d/x.en", "sha256": "..."},
 *                         {"archive": "a.tgz", "member": "d/x.de"}],
 *               "or": [[{...}, {...}]]}],
 *    "pairs": 5, "tolerance": 0.005}
 *
 * Needed are format, version, name, languages, archives with their names, texts with part, name and
 * sides. A side without "member" is the archive itself: a text, perhaps compressed. "or" names
 * other places of the same text, tried in order. "made" is what a manifest adds; it is not read. */
#ifndef MIXT_TEXT_PREP_DATASET_H
#define MIXT_TEXT_PREP_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/status.h"

enum dataset_part { DATASET_TRAIN, DATASET_DEV, DATASET_TEST, DATASET_N_PARTS };

enum {
    DATASET_VERSION = 1,
    DATASET_MAX_URLS = 16,   /* of an archive */
    DATASET_MAX_SOURCES = 8, /* of a text */
    DATASET_MAX_ARCHIVES = 256,
    DATASET_MAX_TEXTS = 256,
    DATASET_NAME_BYTES = 128, /* longest name, with its final NUL */
    DATASET_MEMBER_BYTES = 1024,
    DATASET_FILE_BYTES = 1 << 24 /* largest description */
};

struct dataset_archive {
    const char *name; /* its file name here: letters, digits, "._-", not first "." or "-" */
    const char *urls[DATASET_MAX_URLS]; /* http or https, in order of preference; NULL: no more */
    int64_t bytes;                      /* 0: not known */
    const char *sha256;                 /* 64 digits, lower-case; NULL: not known */
    const char *md5;                    /* 32 digits, lower-case; NULL: not known */
};

/* One side of a text. */
struct dataset_side {
    size_t archive;     /* index */
    const char *member; /* path inside, without "./"; NULL: the archive itself is the text */
    const char *sha256; /* of the text, after decompression of a .gz member; NULL: not known */
};

/* A place of both sides, in the order of the languages. */
struct dataset_source {
    struct dataset_side sides[2];
};

struct dataset_text {
    enum dataset_part part;
    const char *name;                     /* as an archive's name */
    int64_t lines;                        /* pairs as published, exactly; 0: not known */
    const struct dataset_source *sources; /* [n_sources] in order of preference, at least one */
    size_t n_sources;
};

struct dataset {
    const char *name;                       /* as an archive's name */
    const char *languages[2];               /* source, target: letters, digits, "_-" */
    const struct dataset_archive *archives; /* [n_archives] names all different */
    size_t n_archives;
    const struct dataset_text *texts; /* [n_texts] a part's texts one after another, as written */
    size_t n_texts;
    int64_t pairs;    /* of the training text without pairs that have an empty side; 0: not known */
    double tolerance; /* share of pairs that the number may be off by; 0: exactly */
};

/* "train", "dev", "test". */
const char *dataset_part_name(enum dataset_part part);

/* The path of a side for messages and for finding it unpacked: the member, else the archive. */
const char *dataset_side_name(const struct dataset *dataset, const struct dataset_side *side);

/* True where that path ends in .sgm or .sgml, perhaps with .gz behind: read by text/prep/sgml.h. */
bool dataset_is_sgml(const struct dataset *dataset, const struct dataset_side *side);

/* The data set built in under this name, or NULL. */
const struct dataset *dataset_find(const char *name);

/* The i-th name of those built in; NULL behind the last. */
const char *dataset_builtin_name(size_t i);

/* Reads a description; free with dataset_free(). name is for messages. On error *dataset is NULL:
 * STATUS_FORMAT, with the place, for what is not JSON or not a description; STATUS_MEMORY. */
enum status dataset_parse(struct dataset **dataset, const char *bytes, size_t size,
                          const char *name) STATUS_CHECKED;

/* The same from a file; STATUS_IO besides. */
enum status dataset_load(struct dataset **dataset, const char *path) STATUS_CHECKED;

/* For what dataset_parse() and dataset_load() gave; NULL is allowed. */
void dataset_free(struct dataset *dataset);

/* Appends the description as JSON that dataset_parse() reads, indented and with a line end. made,
 * where not NULL, is JSON text to stand under that name. STATUS_MEMORY. */
enum status dataset_append_json(const struct dataset *dataset, const char *made,
                                struct buffer *text) STATUS_CHECKED;

#endif
