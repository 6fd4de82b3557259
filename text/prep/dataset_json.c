/* Descriptions of data sets as JSON: read, with every value checked. */
#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/file.h"
#include "text/prep/dataset.h"
#include "text/prep/printable.h"

/* A parsed description: strings are borrowed from the JSON. */
struct parsed {
    struct dataset dataset; /* first, so that its address is the address of the whole */
    json_t *root;
    struct dataset_archive *archives;
    struct dataset_text *texts;
};

/* Where the reader is, for messages. */
struct place {
    const char *file;
    char path[64]; /* "texts[3].sides[0]"; "" at the top */
};

static enum status wrong(const struct place *place, const char *key, const char *what)
{
    return status_set(STATUS_FORMAT, "%s: %s%s%s: %s", place->file, place->path,
                      place->path[0] != '\0' && key[0] != '\0' ? "." : "", key, what);
}

/* Letters, digits and the other characters; not first "." or "-". */
static bool is_plain(const char *text, const char *others, size_t limit)
{
    const size_t size = strlen(text);
    if (size == 0 || size >= limit || text[0] == '.' || text[0] == '-')
        return false;
    for (size_t i = 0; i < size; i++) {
        const unsigned char byte = (unsigned char)text[i];
        if (byte >= 0x80 || (!isalnum(byte) && strchr(others, byte) == NULL))
            return false;
    }
    return true;
}

static bool is_lower_hex(const char *text, size_t size)
{
    return strlen(text) == size && strspn(text, "0123456789abcdef") == size;
}

static enum status unknown_key(const struct place *place, const char *key, const char *const *known)
{
    char shown[PRINTABLE_BYTES], list[256] = "";
    for (size_t i = 0; known[i] != NULL; i++) {
        const size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i == 0 ? "" : ", ", known[i]);
    }
    const enum status status =
        wrong(place, printable(shown, key), "is not a key that is known here");
    status_hint("known are %s", list);
    return status;
}

/* Refuses keys that are not in the list, which ends with NULL. */
static enum status check_keys(const json_t *object, const struct place *place,
                              const char *const *known)
{
    if (!json_is_object(object))
        return wrong(place, "", "an object {...} is wanted here");
    for (void *at = json_object_iter((json_t *)object); at != NULL;
         at = json_object_iter_next((json_t *)object, at)) {
        const char *key = json_object_iter_key(at);
        size_t i = 0;
        while (known[i] != NULL && strcmp(known[i], key) != 0)
            i++;
        if (known[i] == NULL)
            return unknown_key(place, key, known);
    }
    return STATUS_OK;
}

/* Reads a string; one that is missing is NULL, or an error where is_needed. */
static enum status read_string(const json_t *object, const struct place *place, const char *key,
                               bool is_needed, const char **string)
{
    const json_t *value = json_object_get(object, key);
    *string = NULL;
    if (value == NULL)
        return is_needed ? wrong(place, key, "is missing") : STATUS_OK;
    if (!json_is_string(value))
        return wrong(place, key, "a string is wanted");
    *string = json_string_value(value);
    if (strlen(*string) != json_string_length(value))
        return wrong(place, key, "has a NUL character inside");
    return STATUS_OK;
}

static enum status read_name(const json_t *object, const struct place *place, const char *key,
                             const char **name)
{
    enum status status = read_string(object, place, key, true, name);
    if (status == STATUS_OK && !is_plain(*name, "._-", DATASET_NAME_BYTES))
        status = wrong(place, key,
                       "a name of letters, digits, '.', '_' and '-' is wanted, without '.' or '-' "
                       "at its start");
    return status;
}

static enum status read_hash(const json_t *object, const struct place *place, const char *key,
                             size_t digits, const char **hash)
{
    enum status status = read_string(object, place, key, false, hash);
    if (status == STATUS_OK && *hash != NULL && !is_lower_hex(*hash, digits))
        status = wrong(place, key,
                       digits == 64 ? "64 lower-case hexadecimal digits are wanted"
                                    : "32 lower-case hexadecimal digits are wanted");
    return status;
}

/* Reads a whole number of at least 1; one that is missing is 0. */
static enum status read_count(const json_t *object, const struct place *place, const char *key,
                              int64_t *count)
{
    const json_t *value = json_object_get(object, key);
    *count = 0;
    if (value == NULL)
        return STATUS_OK;
    if (!json_is_integer(value) || json_integer_value(value) < 1)
        return wrong(place, key, "a whole number of at least 1 is wanted");
    *count = (int64_t)json_integer_value(value);
    return STATUS_OK;
}

/* A list with 1..limit items. */
static enum status read_array(const json_t *object, const struct place *place, const char *key,
                              size_t limit, const json_t **array, size_t *size)
{
    *array = json_object_get(object, key);
    *size = json_array_size(*array);
    if (!json_is_array(*array) || *size == 0)
        return wrong(place, key, "a list [...] with something in it is wanted");
    return *size <= limit ? STATUS_OK : wrong(place, key, "the list is too long");
}

static enum status read_urls(const json_t *object, const struct place *place,
                             struct dataset_archive *archive)
{
    const json_t *list = NULL;
    size_t n_urls = 0;
    if (json_object_get(object, "urls") == NULL)
        return STATUS_OK;
    if (json_array_size(json_object_get(object, "urls")) == 0 &&
        json_is_array(json_object_get(object, "urls")))
        return STATUS_OK;
    const enum status status = read_array(object, place, "urls", DATASET_MAX_URLS, &list, &n_urls);
    if (status < 0)
        return status;
    for (size_t i = 0; i < n_urls; i++) {
        const char *url = json_string_value(json_array_get(list, i));
        if (url == NULL || (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) ||
            strpbrk(url, " \t\r\n") != NULL)
            return wrong(place, "urls", "addresses that begin with http:// or https:// are wanted");
        archive->urls[i] = url;
    }
    return STATUS_OK;
}

static enum status read_archive(const json_t *object, const struct place *place,
                                struct dataset_archive *archive)
{
    static const char *const known[] = {"name", "urls", "bytes", "sha256", "md5", NULL};
    enum status status = STATUS_OK;
    if ((status = check_keys(object, place, known)) < 0 ||
        (status = read_name(object, place, "name", &archive->name)) < 0 ||
        (status = read_urls(object, place, archive)) < 0 ||
        (status = read_count(object, place, "bytes", &archive->bytes)) < 0 ||
        (status = read_hash(object, place, "sha256", 64, &archive->sha256)) < 0)
        return status;
    return read_hash(object, place, "md5", 32, &archive->md5);
}

static enum status read_archives(struct parsed *parsed, struct place *place)
{
    const json_t *list = NULL;
    size_t n = 0;
    enum status status =
        read_array(parsed->root, place, "archives", DATASET_MAX_ARCHIVES, &list, &n);
    if (status < 0)
        return status;
    parsed->archives = calloc(n, sizeof *parsed->archives);
    if (parsed->archives == NULL)
        return status_set(STATUS_MEMORY, "no memory for %zu archives", n);
    parsed->dataset.archives = parsed->archives;
    for (size_t i = 0; i < n; i++) {
        snprintf(place->path, sizeof place->path, "archives[%zu]", i);
        if ((status = read_archive(json_array_get(list, i), place, &parsed->archives[i])) < 0)
            return status;
        for (size_t j = 0; j < i; j++) {
            if (strcmp(parsed->archives[i].name, parsed->archives[j].name) == 0)
                return wrong(place, "name", "another archive has this name too");
        }
        parsed->dataset.n_archives = i + 1;
    }
    place->path[0] = '\0';
    return STATUS_OK;
}

static enum status read_side(const struct parsed *parsed, const json_t *object,
                             const struct place *place, struct dataset_side *side)
{
    static const char *const known[] = {"archive", "member", "sha256", NULL};
    const char *name = NULL;
    enum status status = STATUS_OK;
    if ((status = check_keys(object, place, known)) < 0 ||
        (status = read_string(object, place, "archive", true, &name)) < 0 ||
        (status = read_string(object, place, "member", false, &side->member)) < 0 ||
        (status = read_hash(object, place, "sha256", 64, &side->sha256)) < 0)
        return status;
    while (side->member != NULL && strncmp(side->member, "./", 2) == 0)
        side->member += 2;
    if (side->member != NULL &&
        (side->member[0] == '\0' || strlen(side->member) >= DATASET_MEMBER_BYTES))
        return wrong(place, "member", "is empty or too long");
    for (size_t i = 0; i < parsed->dataset.n_archives; i++) {
        if (strcmp(parsed->archives[i].name, name) == 0) {
            side->archive = i;
            return STATUS_OK;
        }
    }
    return wrong(place, "archive", "is none of the names in archives");
}

static enum status read_source(const struct parsed *parsed, const json_t *list,
                               enum dataset_part part, struct place *place,
                               struct dataset_source *source)
{
    if (json_array_size(list) != 2)
        return wrong(place, "", "a list of two sides [{...}, {...}] is wanted");
    const size_t length = strlen(place->path);
    for (size_t i = 0; i < 2; i++) {
        snprintf(place->path + length, sizeof place->path - length, "[%zu]", i);
        const enum status status =
            read_side(parsed, json_array_get(list, i), place, &source->sides[i]);
        if (status < 0)
            return status;
        place->path[length] = '\0';
    }
    const bool is_sgml = dataset_is_sgml(&parsed->dataset, &source->sides[0]);
    if (is_sgml != dataset_is_sgml(&parsed->dataset, &source->sides[1]))
        return wrong(place, "", "one side is SGML and the other is not");
    return is_sgml && part == DATASET_TRAIN ? wrong(place, "", "SGML is read for dev and test only")
                                            : STATUS_OK;
}

/* "sides", and those of "or". */
static enum status read_sources(const struct parsed *parsed, const json_t *object,
                                struct place *place, struct dataset_text *text)
{
    const json_t *others = json_object_get(object, "or");
    if (others != NULL &&
        (!json_is_array(others) || json_array_size(others) >= DATASET_MAX_SOURCES))
        return wrong(place, "or", "a list of at most 7 other places is wanted");
    const size_t n_sources = 1 + json_array_size(others);
    struct dataset_source *sources = calloc(n_sources, sizeof *sources);
    if (sources == NULL)
        return status_set(STATUS_MEMORY, "no memory for a data set");
    text->sources = sources;
    text->n_sources = n_sources;
    const size_t length = strlen(place->path);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < n_sources && status == STATUS_OK; i++) {
        if (i == 0)
            snprintf(place->path + length, sizeof place->path - length, ".sides");
        else
            snprintf(place->path + length, sizeof place->path - length, ".or[%zu]", i - 1);
        status = read_source(
            parsed, i == 0 ? json_object_get(object, "sides") : json_array_get(others, i - 1),
            text->part, place, &sources[i]);
    }
    if (status == STATUS_OK)
        place->path[length] = '\0';
    return status;
}

static enum status read_text(const struct parsed *parsed, const json_t *object, struct place *place,
                             struct dataset_text *text)
{
    static const char *const known[] = {"part", "name", "lines", "sides", "or", NULL};
    const char *part = NULL;
    enum status status = STATUS_OK;
    if ((status = check_keys(object, place, known)) < 0 ||
        (status = read_string(object, place, "part", true, &part)) < 0 ||
        (status = read_name(object, place, "name", &text->name)) < 0 ||
        (status = read_count(object, place, "lines", &text->lines)) < 0)
        return status;
    for (int i = 0; i <= DATASET_N_PARTS; i++) {
        if (i == DATASET_N_PARTS)
            return wrong(place, "part", "\"train\", \"dev\" or \"test\" is wanted");
        text->part = (enum dataset_part)i;
        if (strcmp(part, dataset_part_name(text->part)) == 0)
            break;
    }
    return read_sources(parsed, object, place, text);
}

static enum status read_texts(struct parsed *parsed, struct place *place)
{
    const json_t *list = NULL;
    size_t n = 0;
    enum status status = read_array(parsed->root, place, "texts", DATASET_MAX_TEXTS, &list, &n);
    if (status < 0)
        return status;
    parsed->texts = calloc(n, sizeof *parsed->texts);
    if (parsed->texts == NULL)
        return status_set(STATUS_MEMORY, "no memory for %zu texts", n);
    parsed->dataset.texts = parsed->texts;
    for (size_t i = 0; i < n; i++) {
        snprintf(place->path, sizeof place->path, "texts[%zu]", i);
        parsed->dataset.n_texts = i + 1; /* what it holds so far is freed after an error too */
        if ((status = read_text(parsed, json_array_get(list, i), place, &parsed->texts[i])) < 0)
            return status;
        for (size_t j = 0; j < i; j++) {
            if (strcmp(parsed->texts[i].name, parsed->texts[j].name) == 0)
                return wrong(place, "name", "another text has this name too");
        }
    }
    place->path[0] = '\0';
    return STATUS_OK;
}

static enum status read_languages(struct parsed *parsed, const struct place *place)
{
    const json_t *list = json_object_get(parsed->root, "languages");
    for (size_t i = 0; i < 2; i++) {
        const char *language = json_string_value(json_array_get(list, i));
        if (json_array_size(list) != 2 || language == NULL || !is_plain(language, "_-", 32))
            return wrong(place, "languages", "two codes are wanted, as [\"en\", \"de\"]");
        parsed->dataset.languages[i] = language;
    }
    if (strcmp(parsed->dataset.languages[0], parsed->dataset.languages[1]) == 0)
        return wrong(place, "languages", "both are the same");
    return STATUS_OK;
}

static enum status read_head(struct parsed *parsed, const struct place *place)
{
    static const char *const known[] = {"format", "version", "name",      "languages", "archives",
                                        "texts",  "pairs",   "tolerance", "made",      NULL};
    struct dataset *dataset = &parsed->dataset;
    const char *format = NULL;
    enum status status = STATUS_OK;
    if ((status = check_keys(parsed->root, place, known)) < 0 ||
        (status = read_string(parsed->root, place, "format", true, &format)) < 0)
        return status;
    if (strcmp(format, "mixt-dataset") != 0)
        return wrong(place, "format", "\"mixt-dataset\" is wanted");
    const json_t *version = json_object_get(parsed->root, "version");
    if (!json_is_integer(version) || json_integer_value(version) != DATASET_VERSION)
        return wrong(place, "version", "1 is wanted");
    const json_t *tolerance = json_object_get(parsed->root, "tolerance");
    dataset->tolerance = json_number_value(tolerance);
    if (tolerance != NULL &&
        (!json_is_number(tolerance) || !(dataset->tolerance >= 0 && dataset->tolerance <= 1)))
        return wrong(place, "tolerance", "a number from 0 to 1 is wanted");
    if ((status = read_name(parsed->root, place, "name", &dataset->name)) < 0 ||
        (status = read_count(parsed->root, place, "pairs", &dataset->pairs)) < 0)
        return status;
    return read_languages(parsed, place);
}

/* Every archive serves a text. */
static enum status check_use(const struct dataset *dataset, struct place *place)
{
    for (size_t i = 0; i < dataset->n_archives; i++) {
        bool is_used = false;
        for (size_t t = 0; t < dataset->n_texts; t++) {
            for (size_t s = 0; s < dataset->texts[t].n_sources; s++) {
                const struct dataset_side *sides = dataset->texts[t].sources[s].sides;
                is_used = is_used || sides[0].archive == i || sides[1].archive == i;
            }
        }
        if (!is_used) {
            snprintf(place->path, sizeof place->path, "archives[%zu]", i);
            return wrong(place, "", "no text is in this archive");
        }
    }
    return STATUS_OK;
}

enum status dataset_parse(struct dataset **dataset, const char *bytes, size_t size,
                          const char *name)
{
    struct place place = {.file = name};
    json_error_t error;
    *dataset = NULL;
    struct parsed *parsed = calloc(1, sizeof *parsed);
    if (parsed == NULL)
        return status_set(STATUS_MEMORY, "no memory for a data set");
    enum status status = STATUS_OK;
    parsed->root = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &error);
    if (parsed->root == NULL) {
        char shown[PRINTABLE_BYTES];
        status = status_set(STATUS_FORMAT, "%s:%d: not JSON: %s", name, error.line,
                            printable(shown, error.text));
    }
    if (status < 0 || (status = read_head(parsed, &place)) < 0 ||
        (status = read_archives(parsed, &place)) < 0 || (status = read_texts(parsed, &place)) < 0 ||
        (status = check_use(&parsed->dataset, &place)) < 0) {
        dataset_free(&parsed->dataset);
        return status;
    }
    *dataset = &parsed->dataset;
    return STATUS_OK;
}

enum status dataset_load(struct dataset **dataset, const char *path)
{
    struct buffer bytes = {0};
    *dataset = NULL;
    enum status status = file_read(path, DATASET_FILE_BYTES, &bytes);
    if (status == STATUS_OK)
        status = dataset_parse(dataset, bytes.data == NULL ? "" : bytes.data, bytes.size, path);
    buffer_free(&bytes);
    return status;
}

void dataset_free(struct dataset *dataset)
{
    if (dataset == NULL)
        return;
    struct parsed *parsed = (struct parsed *)dataset;
    for (size_t i = 0; i < dataset->n_texts; i++)
        free((struct dataset_source *)parsed->texts[i].sources);
    free(parsed->texts);
    free(parsed->archives);
    json_decref(parsed->root);
    free(parsed);
}
