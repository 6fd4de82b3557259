/* Descriptions of data sets as JSON: written. */
#include <stdlib.h>

#include <jansson.h>

#include "text/prep/dataset.h"

/* Adds value, which is taken over, unless it is NULL; false without memory. */
static bool add(json_t *object, const char *key, json_t *value)
{
    return value != NULL && json_object_set_new(object, key, value) == 0;
}

static bool add_string(json_t *object, const char *key, const char *string)
{
    return string == NULL || add(object, key, json_string(string));
}

static bool add_count(json_t *object, const char *key, int64_t count)
{
    return count == 0 || add(object, key, json_integer((json_int_t)count));
}

/* Appends value, which is taken over. */
static bool append(json_t *list, json_t *value)
{
    return value != NULL && json_array_append_new(list, value) == 0;
}

/* The value, or NULL and the value freed, where something in it is missing for want of memory. */
static json_t *complete(json_t *value, bool is_complete)
{
    if (is_complete)
        return value;
    json_decref(value);
    return NULL;
}

static json_t *archive_json(const struct dataset_archive *archive)
{
    json_t *object = json_object(), *urls = json_array();
    bool is_good = object != NULL && urls != NULL;
    for (size_t i = 0; is_good && i < DATASET_MAX_URLS && archive->urls[i] != NULL; i++)
        is_good = append(urls, json_string(archive->urls[i]));
    const bool has_urls = json_array_size(urls) > 0;
    is_good = is_good && add_string(object, "name", archive->name) &&
              (!has_urls || json_object_set(object, "urls", urls) == 0) &&
              add_count(object, "bytes", archive->bytes) &&
              add_string(object, "sha256", archive->sha256) &&
              add_string(object, "md5", archive->md5);
    json_decref(urls);
    return complete(object, is_good);
}

static json_t *source_json(const struct dataset *dataset, const struct dataset_source *source)
{
    json_t *list = json_array();
    bool is_good = list != NULL;
    for (size_t i = 0; is_good && i < 2; i++) {
        const struct dataset_side *side = &source->sides[i];
        json_t *object = json_object();
        is_good = append(list, object) &&
                  add_string(object, "archive", dataset->archives[side->archive].name) &&
                  add_string(object, "member", side->member) &&
                  add_string(object, "sha256", side->sha256);
    }
    return complete(list, is_good);
}

static json_t *text_json(const struct dataset *dataset, const struct dataset_text *text)
{
    json_t *object = json_object(), *others = json_array();
    bool is_good = object != NULL && others != NULL &&
                   add_string(object, "part", dataset_part_name(text->part)) &&
                   add_string(object, "name", text->name) &&
                   add_count(object, "lines", text->lines) &&
                   add(object, "sides", source_json(dataset, &text->sources[0]));
    for (size_t i = 1; is_good && i < text->n_sources; i++)
        is_good = append(others, source_json(dataset, &text->sources[i]));
    if (is_good && text->n_sources > 1)
        is_good = json_object_set(object, "or", others) == 0;
    json_decref(others);
    return complete(object, is_good);
}

static json_t *dataset_json(const struct dataset *dataset, const char *made)
{
    json_t *root = json_object(), *archives = json_array(), *texts = json_array();
    bool is_good =
        root != NULL && archives != NULL && texts != NULL &&
        add_string(root, "format", "mixt-dataset") && add_count(root, "version", DATASET_VERSION) &&
        add_string(root, "name", dataset->name) &&
        add(root, "languages", json_pack("[ss]", dataset->languages[0], dataset->languages[1]));
    for (size_t i = 0; is_good && i < dataset->n_archives; i++)
        is_good = append(archives, archive_json(&dataset->archives[i]));
    for (size_t i = 0; is_good && i < dataset->n_texts; i++)
        is_good = append(texts, text_json(dataset, &dataset->texts[i]));
    is_good = is_good && json_object_set(root, "archives", archives) == 0 &&
              json_object_set(root, "texts", texts) == 0 &&
              add_count(root, "pairs", dataset->pairs) &&
              (dataset->tolerance == 0 || add(root, "tolerance", json_real(dataset->tolerance))) &&
              (made == NULL || add(root, "made", json_loads(made, 0, NULL)));
    json_decref(archives);
    json_decref(texts);
    return complete(root, is_good);
}

enum status dataset_append_json(const struct dataset *dataset, const char *made,
                                struct buffer *text)
{
    json_t *root = dataset_json(dataset, made);
    char *bytes = root == NULL ? NULL : json_dumps(root, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    json_decref(root);
    if (bytes == NULL)
        return status_set(STATUS_MEMORY, "no memory for a description of %s", dataset->name);
    enum status status = buffer_append_string(text, bytes);
    free(bytes);
    return status < 0 ? status : buffer_append_string(text, "\n");
}
