/* One value of a configuration: from YAML text into its field, and back.
 *
 * Numbers are read and written in the C locale whatever the program's is, and written so that YAML
 * 1.1 readers see numbers too (1.0e-3, never 1e-3). */
#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "model/config_keys.h"
#include "model/quote.h"
#include "text/utf8.h"

_Static_assert(sizeof(enum config_subword) == sizeof(unsigned) &&
                   sizeof(enum config_compute) == sizeof(unsigned) &&
                   sizeof(enum config_metric) == sizeof(unsigned),
               "the fields of words are copied as unsigned");

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static const char *skip_digits(const char *text)
{
    while (is_digit(*text))
        text++;
    return text;
}

/* [+-] digits; no leading zeros, which YAML 1.1 takes for octal. */
static bool parse_int(const char *text, int64_t *value)
{
    const char *digits = text + (*text == '-' || *text == '+');
    const char *end = skip_digits(digits);
    if (end == digits || *end != '\0' || (digits[0] == '0' && end - digits > 1))
        return false;
    errno = 0;
    *value = strtoll(text, NULL, 10);
    return errno == 0;
}

/* [+-] digits [. digits] [e [+-] digits], with a digit on one side of the point; finite. */
static bool parse_float(const char *text, double *value)
{
    const char *whole = text + (*text == '-' || *text == '+');
    const char *end = skip_digits(whole);
    bool has_digit = end > whole;
    if (*end == '.') {
        const char *fraction = end + 1;
        end = skip_digits(fraction);
        has_digit |= end > fraction;
    }
    if (has_digit && (*end == 'e' || *end == 'E')) {
        const char *exponent = end + 1 + (end[1] == '-' || end[1] == '+');
        end = skip_digits(exponent);
        has_digit = end > exponent;
    }
    if (!has_digit || *end != '\0')
        return false;
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    CHECK(c_locale, "there is no C locale");
    *value = strtod_l(text, NULL, c_locale);
    freelocale(c_locale);
    return isfinite(*value);
}

static bool parse_bool(const char *text, bool *value)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *value = i % 2 == 1;
            return true;
        }
    }
    return false;
}

static bool parse_word(const char *text, const char *const *words, unsigned *index)
{
    for (*index = 0; words[*index]; ++*index)
        if (strcmp(text, words[*index]) == 0)
            return true;
    return false;
}

static bool parse_set(const struct yaml_entry *entry, const char *const *words, unsigned *bits)
{
    *bits = 0;
    for (size_t i = 0; i < entry->n_values; i++) {
        unsigned index = 0;
        if (!parse_word(entry->value[i], words, &index) || (*bits & 1u << index))
            return false;
        *bits |= 1u << index;
    }
    return true;
}

static bool parse_places(const struct yaml_entry *entry, struct config_places *places)
{
    *places = (struct config_places){0};
    for (size_t i = 0; i < entry->n_values; i++) {
        const char *text = entry->value[i];
        bool *stack = NULL;
        if (strncmp(text, "encoder.", 8) == 0)
            stack = places->encoder;
        else if (strncmp(text, "decoder.", 8) == 0)
            stack = places->decoder;
        int64_t layer = 0;
        if (!stack || !is_digit(text[8]) || !parse_int(text + 8, &layer) || layer < 1 ||
            layer > CONFIG_MAX_LAYERS || stack[layer])
            return false;
        stack[layer] = true;
    }
    return true;
}

static bool is_in_range(const struct config_key *key, double value)
{
    if (value < key->minimum || value > key->maximum)
        return false;
    if ((key->flags & CONFIG_KEY_ABOVE_MINIMUM) && value <= key->minimum)
        return false;
    return !(key->flags & CONFIG_KEY_BELOW_MAXIMUM) || value < key->maximum;
}

/* Puts directory before a relative path; false when the result is too long. "" stays "". */
static bool join_path(const char *directory, const char *path, char target[CONFIG_PATH_BYTES])
{
    const bool is_joined = path[0] != '\0' && path[0] != '/' && directory[0] != '\0';
    const int length =
        snprintf(target, CONFIG_PATH_BYTES, "%s%s", is_joined ? directory : "", path);
    return length >= 0 && length < CONFIG_PATH_BYTES;
}

static bool parse_paths(const struct yaml_entry *entry, const char *directory,
                        struct config_paths *paths)
{
    if (entry->n_values > CONFIG_MAX_PATHS)
        return false;
    *paths = (struct config_paths){.n = (int64_t)entry->n_values};
    for (size_t i = 0; i < entry->n_values; i++)
        if (entry->value[i][0] == '\0' || !join_path(directory, entry->value[i], paths->path[i]))
            return false;
    return true;
}

/* A name is letters, digits, '_' and '-': it becomes part of a piece, and of a command line. */
static bool parse_names(const struct yaml_entry *entry, struct config_languages *names)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    if (entry->n_values > CONFIG_MAX_LANGUAGES)
        return false;
    *names = (struct config_languages){.n = (int64_t)entry->n_values};
    for (size_t i = 0; i < entry->n_values; i++) {
        const char *name = entry->value[i];
        const size_t length = strlen(name);
        if (length == 0 || length >= CONFIG_LANGUAGE_BYTES || strspn(name, allowed) != length)
            return false;
        memcpy(names->name[i], name, length + 1);
    }
    return true;
}

/* One level's word or number. */
static bool parse_level(const char *text, const struct config_key *key, int64_t *value)
{
    unsigned index = 0;
    if (!key->words)
        return parse_int(text, value) && is_in_range(key, (double)*value);
    if (!parse_word(text, key->words, &index))
        return false;
    *value = index;
    return true;
}

static bool parse_levels(const struct yaml_entry *entry, const struct config_key *key,
                         struct config_levels *levels)
{
    if (entry->n_values < 1 || entry->n_values > CONFIG_MAX_LEVELS)
        return false;
    levels->n = (int64_t)entry->n_values;
    for (size_t i = 0; i < entry->n_values; i++)
        if (!parse_level(entry->value[i], key, &levels->value[i]))
            return false;
    return true;
}

static bool parse_into(void *field, const struct config_key *key, const struct yaml_entry *entry,
                       const char *directory)
{
    const char *text = entry->kind == YAML_VALUE ? entry->value[0] : NULL;
    const char *base = key->flags & CONFIG_KEY_RELATIVE ? directory : "";
    switch (key->type) {
    case CONFIG_TYPE_INT:
        return parse_int(text, field) && is_in_range(key, (double)*(int64_t *)field);
    case CONFIG_TYPE_FLOAT:
        return parse_float(text, field) && is_in_range(key, *(double *)field);
    case CONFIG_TYPE_BOOL:
        return parse_bool(text, field);
    case CONFIG_TYPE_WORD:
        return parse_word(text, key->words, field);
    case CONFIG_TYPE_SET:
        return parse_set(entry, key->words, field);
    case CONFIG_TYPE_TEXT:
        return snprintf(field, CONFIG_TEXT_BYTES, "%s", text) < CONFIG_TEXT_BYTES;
    case CONFIG_TYPE_PATH:
        return join_path(base, text, field);
    case CONFIG_TYPE_PATHS:
        return parse_paths(entry, base, field);
    case CONFIG_TYPE_NAMES:
        return parse_names(entry, field);
    case CONFIG_TYPE_PLACES:
        return parse_places(entry, field);
    case CONFIG_TYPE_LEVELS:
        return parse_levels(entry, key, field);
    }
    return false;
}

/* Holds any field while it is not known to be good. */
union field {
    int64_t integer;
    double number;
    bool boolean;
    unsigned word;
    char text[CONFIG_TEXT_BYTES];
    char path[CONFIG_PATH_BYTES];
    struct config_paths paths;
    struct config_languages names;
    struct config_places places;
    struct config_levels levels;
};

static size_t field_bytes(enum config_type type)
{
    switch (type) {
    case CONFIG_TYPE_INT:
        return sizeof(int64_t);
    case CONFIG_TYPE_FLOAT:
        return sizeof(double);
    case CONFIG_TYPE_BOOL:
        return sizeof(bool);
    case CONFIG_TYPE_WORD:
    case CONFIG_TYPE_SET:
        return sizeof(unsigned);
    case CONFIG_TYPE_TEXT:
        return CONFIG_TEXT_BYTES;
    case CONFIG_TYPE_PATH:
        return CONFIG_PATH_BYTES;
    case CONFIG_TYPE_PATHS:
        return sizeof(struct config_paths);
    case CONFIG_TYPE_NAMES:
        return sizeof(struct config_languages);
    case CONFIG_TYPE_PLACES:
        return sizeof(struct config_places);
    case CONFIG_TYPE_LEVELS:
        return sizeof(struct config_levels);
    }
    return 0;
}

/* A value, a list, or for levels either. */
static bool is_wanted_kind(enum yaml_kind kind, enum config_type type)
{
    const bool is_list = type == CONFIG_TYPE_SET || type == CONFIG_TYPE_PATHS ||
                         type == CONFIG_TYPE_NAMES || type == CONFIG_TYPE_PLACES ||
                         type == CONFIG_TYPE_LEVELS;
    const bool is_value = !is_list || type == CONFIG_TYPE_LEVELS;
    return (kind == YAML_LIST && is_list) || (kind == YAML_VALUE && is_value);
}

/* What the entry gave, for a message: 'abc', [a, b] or "a section". */
static enum status describe_given(const struct yaml_entry *entry, struct buffer *text)
{
    char quoted[QUOTE_BYTES];
    if (entry->kind == YAML_VALUE)
        return buffer_printf(text, "'%s'", quote(entry->value[0], quoted));
    if (entry->kind == YAML_SECTION)
        return buffer_append_string(text, "a section");
    enum { SHOWN = 4 };
    enum status status = buffer_append_string(text, "[");
    for (size_t i = 0; i < entry->n_values && i < SHOWN && status == STATUS_OK; i++)
        status = buffer_printf(text, "%s%s", i ? ", " : "", quote(entry->value[i], quoted));
    if (status == STATUS_OK)
        status = buffer_append_string(text, entry->n_values > SHOWN ? ", ...]" : "]");
    return status;
}

enum status config_value_set(struct config *config, const struct config_key *key,
                             const struct yaml_entry *entry, const char *directory)
{
    union field field;
    memset(&field, 0, field_bytes(key->type));
    if (is_wanted_kind(entry->kind, key->type) && parse_into(&field, key, entry, directory)) {
        memcpy((char *)config + key->offset, &field, field_bytes(key->type));
        return STATUS_OK;
    }
    struct buffer given = {0}, allowed = {0};
    enum status status = describe_given(entry, &given);
    if (status == STATUS_OK)
        status = config_value_allowed(key, &allowed);
    if (status == STATUS_OK)
        status = status_set(STATUS_CONFIG, "%s: %s is %s, expected %s", yaml_entry_place(entry),
                            key->name, given.data, allowed.data);
    buffer_free(&given);
    buffer_free(&allowed);
    return status;
}

/* The shortest decimal that reads back as value; YAML 1.1 wants a point, and a sign after 'e'. */
static enum status write_float(double value, struct buffer *text)
{
    char scientific[40], digits[20] = "";
    int exponent = 0;
    for (int precision = 0; precision < 17; precision++) {
        snprintf(scientific, sizeof scientific, "%.*e", precision, value);
        if (strtod(scientific, NULL) == value) /* one locale for both */
            break;
    }
    size_t n = 0;
    const char *cursor = scientific;
    for (; *cursor != 'e'; cursor++)
        if (is_digit(*cursor))
            digits[n++] = *cursor;
    exponent = atoi(cursor + 1);
    while (n > 1 && digits[n - 1] == '0')
        n--;
    const char *sign = value < 0 ? "-" : "";
    if (value != 0 && (exponent < -2 || exponent > 6))
        return buffer_printf(text, "%s%c.%.*se%+d", sign, digits[0], n > 1 ? (int)n - 1 : 1,
                             n > 1 ? digits + 1 : "0", exponent);
    if (exponent < 0)
        return buffer_printf(text, "%s0.%.*s%.*s", sign, -exponent - 1, "00", (int)n, digits);
    const int whole = exponent + 1;
    const int known = (int)n < whole ? (int)n : whole;
    return buffer_printf(text, "%s%.*s%.*s.%.*s", sign, known, digits, whole - known, "000000",
                         (int)n > whole ? (int)n - whole : 1,
                         (int)n > whole ? digits + whole : "0");
}

/* True for a text that every YAML reader takes as text without quotes. */
static bool is_plain(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char others[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-";
    static const char *const reserved[] = {"y", "n", "null"};
    bool boolean = false;
    if (!text[0] || (!strchr(letters, text[0]) && text[0] != '/'))
        return false;
    if (text[strspn(text, others)] != '\0' || parse_bool(text, &boolean))
        return false;
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (strcasecmp(text, reserved[i]) == 0)
            return false;
    return true;
}

static enum status write_text(const char *value, struct buffer *text)
{
    if (is_plain(value))
        return buffer_append_string(text, value);
    enum status status = buffer_append_string(text, "\"");
    const size_t size = strlen(value);
    for (size_t at = 0; at < size && status == STATUS_OK;) {
        const uint32_t code = utf8_next(value, size, &at);
        const bool is_printable =
            (code >= 0x20 && code < 0x7F) || code >= 0x10000 ||
            (code >= 0xA0 && code < 0xFFFE && code != 0x2028 && code != 0x2029 && code != 0xFEFF);
        if (code == '"' || code == '\\')
            status = buffer_printf(text, "\\%c", (char)code);
        else if (is_printable)
            status = utf8_append(text, code);
        else
            status = buffer_printf(text, "\\U%08X", (unsigned)code);
    }
    return status < 0 ? status : buffer_append_string(text, "\"");
}

static enum status write_path(const char *path, bool absolute, struct buffer *text)
{
    if (!absolute || path[0] == '/' || path[0] == '\0')
        return write_text(path, text);
    char here[PATH_MAX];
    if (!getcwd(here, sizeof here))
        return status_set(STATUS_IO, "cannot find the current directory: %s", strerror(errno));
    struct buffer whole = {0};
    enum status status = buffer_printf(&whole, "%s/%s", strcmp(here, "/") == 0 ? "" : here, path);
    if (status == STATUS_OK)
        status = write_text(whole.data, text);
    buffer_free(&whole);
    return status;
}

static enum status write_paths(const struct config_paths *paths, bool absolute, struct buffer *text)
{
    enum status status = buffer_append_string(text, "[");
    for (int64_t i = 0; i < paths->n && status == STATUS_OK; i++) {
        if (i > 0)
            status = buffer_append_string(text, ", ");
        if (status == STATUS_OK)
            status = write_path(paths->path[i], absolute, text);
    }
    return status < 0 ? status : buffer_append_string(text, "]");
}

static enum status write_names(const struct config_languages *names, struct buffer *text)
{
    enum status status = buffer_append_string(text, "[");
    for (int64_t i = 0; i < names->n && status == STATUS_OK; i++) {
        status = buffer_append_string(text, i ? ", " : "");
        if (status == STATUS_OK)
            status = write_text(names->name[i], text);
    }
    return status < 0 ? status : buffer_append_string(text, "]");
}

static enum status write_set(unsigned bits, const char *const *words, struct buffer *text)
{
    const char *separator = "";
    enum status status = buffer_append_string(text, "[");
    for (unsigned i = 0; words[i] && status == STATUS_OK; i++) {
        if (!(bits & 1u << i))
            continue;
        status = buffer_printf(text, "%s%s", separator, words[i]);
        separator = ", ";
    }
    return status < 0 ? status : buffer_append_string(text, "]");
}

static enum status write_places(const struct config_places *places, struct buffer *text)
{
    const char *separator = "";
    enum status status = buffer_append_string(text, "[");
    for (int i = 0; i < 2 * (CONFIG_MAX_LAYERS + 1) && status == STATUS_OK; i++) {
        const bool is_decoder = i > CONFIG_MAX_LAYERS;
        const int layer = i % (CONFIG_MAX_LAYERS + 1);
        if (!(is_decoder ? places->decoder : places->encoder)[layer])
            continue;
        status =
            buffer_printf(text, "%s%s.%d", separator, is_decoder ? "decoder" : "encoder", layer);
        separator = ", ";
    }
    return status < 0 ? status : buffer_append_string(text, "]");
}

static enum status write_levels(const struct config_levels *levels, const struct config_key *key,
                                struct buffer *text)
{
    enum status status = buffer_append_string(text, levels->n > 1 ? "[" : "");
    for (int64_t i = 0; i < levels->n && status == STATUS_OK; i++) {
        const char *separator = i ? ", " : "";
        status = key->words ? buffer_printf(text, "%s%s", separator, key->words[levels->value[i]])
                            : buffer_printf(text, "%s%lld", separator, (long long)levels->value[i]);
    }
    return status < 0 || levels->n == 1 ? status : buffer_append_string(text, "]");
}

enum status config_value_write(const struct config *config, const struct config_key *key,
                               bool absolute, struct buffer *text)
{
    const void *field = (const char *)config + key->offset;
    const bool is_absolute = absolute && (key->flags & CONFIG_KEY_RELATIVE);
    switch (key->type) {
    case CONFIG_TYPE_INT:
        return buffer_printf(text, "%lld", (long long)*(const int64_t *)field);
    case CONFIG_TYPE_FLOAT:
        return write_float(*(const double *)field, text);
    case CONFIG_TYPE_BOOL:
        return buffer_append_string(text, *(const bool *)field ? "true" : "false");
    case CONFIG_TYPE_WORD:
        return buffer_append_string(text, key->words[*(const unsigned *)field]);
    case CONFIG_TYPE_SET:
        return write_set(*(const unsigned *)field, key->words, text);
    case CONFIG_TYPE_TEXT:
        return write_text(field, text);
    case CONFIG_TYPE_PATH:
        return write_path(field, is_absolute, text);
    case CONFIG_TYPE_PATHS:
        return write_paths(field, is_absolute, text);
    case CONFIG_TYPE_NAMES:
        return write_names(field, text);
    case CONFIG_TYPE_PLACES:
        return write_places(field, text);
    case CONFIG_TYPE_LEVELS:
        return write_levels(field, key, text);
    }
    return STATUS_OK;
}

/* "a, b or c" */
static enum status list_words(const char *const *words, struct buffer *text)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; words[i] && status == STATUS_OK; i++)
        status = buffer_printf(text, "%s%s", i == 0 ? "" : words[i + 1] ? ", " : " or ", words[i]);
    return status;
}

enum status config_value_allowed(const struct config_key *key, struct buffer *text)
{
    enum status status = STATUS_OK;
    switch (key->type) {
    case CONFIG_TYPE_INT:
        return buffer_printf(text, "a whole number from %.0f to %.0f", key->minimum, key->maximum);
    case CONFIG_TYPE_FLOAT:
        status = buffer_append_string(text, "a number from ");
        if (status == STATUS_OK)
            status = write_float(key->minimum, text);
        if (status == STATUS_OK && (key->flags & CONFIG_KEY_ABOVE_MINIMUM))
            status = buffer_append_string(text, " (excluded)");
        if (status == STATUS_OK)
            status = buffer_append_string(text, " to ");
        if (status == STATUS_OK)
            status = write_float(key->maximum, text);
        if (status == STATUS_OK && (key->flags & CONFIG_KEY_BELOW_MAXIMUM))
            status = buffer_append_string(text, " (excluded)");
        return status;
    case CONFIG_TYPE_BOOL:
        return buffer_append_string(text, "true or false");
    case CONFIG_TYPE_WORD:
        return list_words(key->words, text);
    case CONFIG_TYPE_SET:
        status = buffer_append_string(text, "a list of ");
        return status < 0 ? status : list_words(key->words, text);
    case CONFIG_TYPE_TEXT:
        return buffer_printf(text, "a text of at most %d bytes", CONFIG_TEXT_BYTES - 1);
    case CONFIG_TYPE_PATH:
        return buffer_printf(text, "a path of at most %d bytes", CONFIG_PATH_BYTES - 1);
    case CONFIG_TYPE_PATHS:
        return buffer_printf(text, "a list of at most %d paths", CONFIG_MAX_PATHS);
    case CONFIG_TYPE_NAMES:
        return buffer_printf(text, "a list of at most %d names of letters, digits, _ and -",
                             CONFIG_MAX_LANGUAGES);
    case CONFIG_TYPE_PLACES:
        return buffer_printf(text, "a list of layers from encoder.1 and decoder.1 to %d, each once",
                             CONFIG_MAX_LAYERS);
    case CONFIG_TYPE_LEVELS:
        if (key->words)
            status = list_words(key->words, text);
        else
            status =
                buffer_printf(text, "a whole number from %.0f to %.0f", key->minimum, key->maximum);
        return status < 0 ? status : buffer_append_string(text, ", or two of them for two levels");
    }
    return status;
}
