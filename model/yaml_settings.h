/* A configuration file, or settings from a command line, as a flat list of dotted keys.
 *
 * A strict part of YAML: mappings of scalars and of lists of scalars. What could surprise or harm
 * is refused with its line: anchors, aliases, tags, a second document, a key given twice, deep
 * nesting, big files, invalid UTF-8. Values stay text here; model/config.h knows their types. */
#ifndef MIXT_MODEL_YAML_SETTINGS_H
#define MIXT_MODEL_YAML_SETTINGS_H

#include <stddef.h>

#include "base/status.h"

enum {
    YAML_MAX_BYTES = 1 << 20, /* of a file */
    YAML_MAX_DEPTH = 16,      /* of mappings in one another */
    YAML_MAX_ENTRIES = 4096,
    YAML_KEY_BYTES = 128 /* of a dotted key, with its ending */
};

enum yaml_kind {
    YAML_VALUE,  /* one scalar */
    YAML_LIST,   /* any number of scalars */
    YAML_SECTION /* a mapping; its keys are entries that follow */
};

struct yaml_entry {
    char *key; /* "model.encoder.layers"; owned */
    enum yaml_kind kind;
    char **value;     /* [n_values] owned; valid UTF-8, no NUL inside */
    size_t n_values;  /* 1 for YAML_VALUE, 0 for YAML_SECTION */
    const char *file; /* borrowed from the settings; "command line" for an override */
    int line;         /* from 1; 0 for an override */
};

/* Caller-owned; a zeroed one is empty and valid. */
struct yaml_settings {
    struct yaml_entry *entry; /* [n_entries] in the order of the file */
    size_t n_entries;
    size_t capacity;
    char *file; /* owned */
};

/* Reads a file into empty settings. STATUS_IO when it cannot be read; STATUS_CONFIG with
 * "FILE:LINE: what" when it is refused. After an error only yaml_settings_free() may follow. */
enum status yaml_settings_read(struct yaml_settings *settings, const char *path) STATUS_CHECKED;

/* The same from memory; name stands for the file in messages. */
enum status yaml_settings_read_text(struct yaml_settings *settings, const char *text, size_t size,
                                    const char *name) STATUS_CHECKED;

/* Adds "section.key=value" from a command line, in place of an earlier entry with this key. The
 * value is YAML: a scalar or [a, b]; nothing after '=' is the empty text. STATUS_USAGE without a
 * '=', STATUS_CONFIG for a bad value. */
enum status yaml_settings_override(struct yaml_settings *settings,
                                   const char *assignment) STATUS_CHECKED;

/* The entry of a dotted key, NULL where there is none. */
const struct yaml_entry *yaml_settings_find(const struct yaml_settings *settings, const char *key);

/* Frees and zeroes; a zeroed struct may be freed. */
void yaml_settings_free(struct yaml_settings *settings);

/* "FILE:LINE" or "command line" of an entry, for the front of a message. Valid until this thread's
 * next call. */
const char *yaml_entry_place(const struct yaml_entry *entry);

#endif
