/* The table of configuration keys, for model/config*.c alone. */
#ifndef MIXT_MODEL_CONFIG_KEYS_H
#define MIXT_MODEL_CONFIG_KEYS_H

#include <stddef.h>

#include "model/config.h"
#include "model/yaml_settings.h"

enum config_type {
    CONFIG_TYPE_INT,    /* int64_t */
    CONFIG_TYPE_FLOAT,  /* double, finite */
    CONFIG_TYPE_BOOL,   /* bool */
    CONFIG_TYPE_WORD,   /* an enum: index into words */
    CONFIG_TYPE_SET,    /* unsigned: bit i for words[i] */
    CONFIG_TYPE_TEXT,   /* char [CONFIG_TEXT_BYTES] */
    CONFIG_TYPE_PATH,   /* char [CONFIG_PATH_BYTES] */
    CONFIG_TYPE_PATHS,  /* struct config_paths */
    CONFIG_TYPE_NAMES,  /* struct config_languages */
    CONFIG_TYPE_PLACES, /* struct config_places */
    CONFIG_TYPE_LEVELS  /* struct config_levels: a number or word, or a list of two */
};

enum {
    CONFIG_KEY_ABOVE_MINIMUM = 1, /* the minimum itself is not allowed */
    CONFIG_KEY_BELOW_MAXIMUM = 2,
    CONFIG_KEY_MODEL = 4,    /* must be equal between a checkpoint and a run that continues it */
    CONFIG_KEY_MACHINE = 8,  /* says something of this machine; not CONFIG_PART_PORTABLE */
    CONFIG_KEY_RELATIVE = 16 /* a path relative to the file that names it */
};

struct config_key {
    const char *name; /* dotted */
    enum config_type type;
    size_t offset;       /* in struct config */
    const char *initial; /* default: "a" or "[a, b]", words without spaces */
    double minimum, maximum;
    unsigned flags;
    const char *const
        *words; /* NULL-terminated; of CONFIG_TYPE_WORD, _SET and, for words, _LEVELS */
    const char *help;
};

extern const struct config_key config_keys[]; /* sections stand together, as they are written */
extern const size_t config_n_keys;

/* The key of a dotted name, NULL where there is none. */
const struct config_key *config_key_find(const char *name);

/* True when a dotted name is the start of keys: "model.encoder". */
bool config_key_is_section(const char *name);

/* The name a wrong one was most likely meant to be, NULL without a good guess. Static. */
const char *config_key_suggest(const char *name);

/* Sets a key's field from an entry. directory [length] goes before a relative path, "" for none.
 * STATUS_CONFIG with "FILE:LINE: KEY is 'VALUE', expected ..."; config is then unchanged. */
enum status config_value_set(struct config *config, const struct config_key *key,
                             const struct yaml_entry *entry, const char *directory) STATUS_CHECKED;

/* Appends a key's value as YAML on one line; absolute makes CONFIG_KEY_RELATIVE paths absolute. */
enum status config_value_write(const struct config *config, const struct config_key *key,
                               bool absolute, struct buffer *text) STATUS_CHECKED;

/* Appends what a key may be: "a whole number from 1 to 64". */
enum status config_value_allowed(const struct config_key *key, struct buffer *text) STATUS_CHECKED;

#endif
