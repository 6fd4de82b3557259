#include "tools/bleu/testset.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "text/prep/sgml.h"
#include "tools/bleu/scratch.h"
#include "tools/bleu/testset_raw.h"

enum { DEEPEST_SET = 4 }; /* levels of folders that a set's name may have */

static enum status out_of_memory(void)
{
    return status_set(STATUS_MEMORY, "no memory for the names of a test set");
}

enum status testset_folder(struct buffer *path)
{
    const char *folder = getenv("SACREBLEU");
    if (folder != NULL)
        return buffer_append_string(path, folder);
    const char *home = getenv("HOME");
    return buffer_printf(path, "%s/.sacrebleu", home == NULL ? "" : home);
}

/* Appends FOLDER/SET/SET.PAIR.FIELD. */
static enum status append_path(struct buffer *path, const char *name, const char *pair,
                               const char *field)
{
    enum status code = testset_folder(path);
    if (code == STATUS_OK)
        code = buffer_printf(path, "/%s/", name);
    const size_t start = path->size;
    if (code == STATUS_OK)
        code = buffer_printf(path, "%s.%s.%s", name, pair, field);
    for (size_t i = start; code == STATUS_OK && i < path->size; i++) {
        const char c = path->data[i];
        path->data[i] = c == '/' ? '_' : c == ':' ? '-' : c;
    }
    return code;
}

/* Where a field stands among those of a set: sacreBLEU's order, then the alphabet. */
static size_t field_rank(const char *field)
{
    static const char *const order[] = {"src", "ref", "docid", "genre", "origlang"};
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        if (strcmp(field, order[i]) == 0 || (i == 1 && strncmp(field, "ref:", 4) == 0))
            return i;
    }
    return strcmp(field, "domain") == 0 ? 7 : 6;
}

static int compare_fields(const void *a, const void *b)
{
    const char *const *left = a, *const *right = b;
    const size_t rank_left = field_rank(*left), rank_right = field_rank(*right);
    if (rank_left != rank_right)
        return rank_left < rank_right ? -1 : 1;
    return strcmp(*left, *right);
}

/* Takes "SET.PAIR.FIELD" apart; false where the name is of another kind. *pair [*pair_size]. */
static bool split_name(const char *file, const char *name, const char **pair, size_t *pair_size,
                       const char **field)
{
    const size_t length = strlen(name);
    for (size_t i = 0; i < length; i++) {
        if (file[i] != (name[i] == '/' ? '_' : name[i]))
            return false;
    }
    if (file[length] != '.')
        return false;
    *pair = file + length + 1;
    *pair_size = strcspn(*pair, ".");
    *field = *pair + *pair_size + ((*pair)[*pair_size] == '.' ? 1 : 0);
    return memchr(*pair, '-', *pair_size) != NULL && **field != '\0';
}

static enum status add_field(struct testset_names *fields, const char *field)
{
    const enum status code = testset_names_add(fields, field, strlen(field));
    if (code == STATUS_OK && strncmp(field, "ref-", 4) == 0)
        fields->items[fields->count - 1][3] = ':';
    return code;
}

/* The fields of a pair (NULL: the pairs themselves) for which there is a file. */
static enum status find_fields(const char *name, const char *pair, struct testset_names *found)
{
    struct buffer path = {0};
    struct testset_names files = {0};
    enum status code = testset_folder(&path);
    if (code == STATUS_OK)
        code = buffer_printf(&path, "/%s", name);
    if (code == STATUS_OK)
        code = testset_names_list(path.data, &files);
    for (size_t i = 0; code == STATUS_OK && i < files.count; i++) {
        const char *file_pair = NULL, *field = NULL;
        size_t size = 0;
        if (!split_name(files.items[i], name, &file_pair, &size, &field))
            continue;
        char *of_file = strndup(file_pair, size);
        if (of_file == NULL)
            code = out_of_memory();
        else if (pair == NULL && !testset_names_have(found, of_file))
            code = testset_names_add(found, of_file, size);
        else if (pair != NULL && strcmp(of_file, pair) == 0)
            code = add_field(found, field);
        free(of_file);
    }
    if (code == STATUS_OK && pair != NULL && found->count > 1)
        qsort(found->items, found->count, sizeof *found->items, compare_fields);
    testset_names_free(&files);
    buffer_free(&path);
    return code;
}

/* Adds a field that has a raw file unless it has another one. */
static enum status add_raw_field(struct testset *set, const char *field)
{
    return testset_has_field(set, field) ? STATUS_OK
                                         : testset_names_add(&set->fields, field, strlen(field));
}

/* Where the processed files lack source or reference: the raw ones. */
static enum status use_raw(struct testset *set)
{
    static const char *const fields[] = {"src", "docid", "genre", "origlang"};
    struct buffer folder = {0};
    enum status code = testset_folder(&folder);
    if (code == STATUS_OK)
        code = buffer_printf(&folder, "/%s/raw", set->name);
    if (code == STATUS_OK)
        code = testset_raw_find(folder.data, set->name, set->pair, &set->raw_source,
                                &set->raw_references);
    buffer_free(&folder);
    if (code < 0 || set->raw_source == NULL)
        return code;
    for (size_t i = 0; code == STATUS_OK && i < sizeof fields / sizeof fields[0]; i++)
        code = add_raw_field(set, fields[i]);
    for (size_t i = 0; code == STATUS_OK && i < set->raw_references.count; i++) {
        char field[32] = "ref";
        if (set->raw_references.count > 1)
            snprintf(field, sizeof field, "ref:%zu", i);
        code = add_raw_field(set, field);
    }
    if (set->fields.count > 1)
        qsort(set->fields.items, set->fields.count, sizeof *set->fields.items, compare_fields);
    return code;
}

static bool has_reference(const struct testset *set)
{
    for (size_t i = 0; i < set->fields.count; i++) {
        if (testset_is_reference(set, set->fields.items[i]))
            return true;
    }
    return false;
}

static enum status nothing_found(const struct testset *set)
{
    struct buffer path = {0};
    const char *field = testset_has_field(set, "src") ? "ref" : "src";
    enum status code = append_path(&path, set->name, set->pair, field);
    if (code == STATUS_OK) {
        code = status_set(STATUS_FAILED, "test set %s, %s: there is no %s", set->name, set->pair,
                          path.data);
        status_hint("put sacreBLEU's copy of the set there, or its .sgm files into raw/ beside it; "
                    "nothing is downloaded");
    }
    buffer_free(&path);
    return code;
}

enum status testset_find(struct testset *set, const char *name, const char *pair)
{
    *set = (struct testset){.name = strdup(name), .pair = strdup(pair)};
    if (set->name == NULL || set->pair == NULL)
        return out_of_memory();
    const bool is_name = name[0] != '\0' && name[0] != '/' && strstr(name, "..") == NULL;
    if (!is_name || strchr(pair, '-') == NULL || strchr(pair, '/') != NULL)
        return status_set(STATUS_FAILED, "'%s', %s: no test set can have that name", name, pair);
    enum status code = find_fields(name, pair, &set->fields);
    if (code == STATUS_OK && (!testset_has_field(set, "src") || !has_reference(set)))
        code = use_raw(set);
    if (code == STATUS_OK && (!testset_has_field(set, "src") || !has_reference(set)))
        code = nothing_found(set);
    return code;
}

void testset_free(struct testset *set)
{
    testset_names_free(&set->fields);
    testset_names_free(&set->raw_references);
    free(set->name);
    free(set->pair);
    free(set->raw_source);
    *set = (struct testset){0};
}

bool testset_has_field(const struct testset *set, const char *field)
{
    return testset_names_have(&set->fields, field);
}

/* The references that sacreBLEU scores against, where a set comes with more: letters of the
 * translators, "-" for the one without a name. */
static const struct {
    const char *set, *pair; /* pair NULL: all that are not named before */
    const char *references;
} chosen_references[] = {
    {"wmt24", NULL, "refA"},   {"wmt23", "en-he", "refB"},   {"wmt23", "he-en", "refB"},
    {"wmt23", NULL, "refA"},   {"wmt22", "cs-en", "B"},      {"wmt22", "en-cs", "B"},
    {"wmt22", "liv-en", "-"},  {"wmt22", "ru-sah", "-"},     {"wmt22", NULL, "A"},
    {"wmt21", NULL, "A"},      {"wmt21/systems", NULL, "A"}, {"wmt21/B", NULL, "B"},
    {"wmt21/AB", NULL, "A B"}, {"wmt21/C", NULL, "C"},       {"wmt21/AC", NULL, "A C"},
    {"wmt21/D", NULL, "D"},    {"wmt21/dev", NULL, "A -"},
};

bool testset_is_reference(const struct testset *set, const char *field)
{
    if (strcmp(field, "ref") != 0 && strncmp(field, "ref:", 4) != 0)
        return false;
    const char *translator = field[3] == ':' ? field + 4 : "-";
    const size_t size = strlen(translator);
    for (size_t i = 0; i < sizeof chosen_references / sizeof chosen_references[0]; i++) {
        const char *pair = chosen_references[i].pair;
        if (strcmp(set->name, chosen_references[i].set) != 0 ||
            (pair != NULL && strcmp(set->pair, pair) != 0))
            continue;
        for (const char *at = chosen_references[i].references; *at != '\0';) {
            const size_t length = strcspn(at, " ");
            if (length == size && strncmp(at, translator, size) == 0)
                return true;
            at += length + (at[length] == ' ' ? 1 : 0);
        }
        return false;
    }
    return true;
}

/* Appends the text of a segment, or what attribute its document has, with a line end. */
static enum status append_field(const struct sgml *sgml, const struct sgml_segment *segment,
                                const char *attribute, struct buffer *value, struct buffer *output)
{
    enum status code = STATUS_OK;
    if (attribute == NULL) {
        code = buffer_append(output, segment->text, segment->size);
    } else {
        code = sgml_attribute(sgml, attribute, value);
        if (code == STATUS_OK)
            code = buffer_append(output, value->data, value->size);
    }
    return code < 0 ? code : buffer_append_string(output, "\n");
}

/* Converts a raw file into a temporary one. */
static enum status open_raw(const char *path, const char *attribute, struct lines **lines)
{
    struct sgml *sgml = NULL;
    struct scratch scratch = {0};
    struct buffer value = {0};
    enum status code = sgml_open(&sgml, path, path);
    if (code == STATUS_OK)
        code = scratch_create(&scratch);
    for (struct sgml_segment segment = {.text = ""}; code == STATUS_OK && segment.text != NULL;) {
        code = sgml_next(sgml, &segment);
        if (code == STATUS_OK && segment.text != NULL)
            code = append_field(sgml, &segment, attribute, &value, &scratch.pending);
        if (code == STATUS_OK)
            code = scratch_write(&scratch);
    }
    if (code == STATUS_OK)
        code = scratch_open(&scratch, path, lines);
    buffer_free(&value);
    scratch_free(&scratch);
    sgml_close(sgml);
    return code;
}

enum status testset_open(const struct testset *set, const char *field, struct lines **lines)
{
    struct buffer path = {0};
    enum status code = append_path(&path, set->name, set->pair, field);
    if (code < 0) {
        buffer_free(&path);
        return code;
    }
    const size_t number = strncmp(field, "ref:", 4) == 0 ? (size_t)strtoul(field + 4, NULL, 10) : 0;
    if (set->raw_source == NULL || file_exists(path.data))
        code = lines_open(lines, path.data);
    else if (strncmp(field, "ref", 3) == 0 && number < set->raw_references.count)
        code = open_raw(set->raw_references.items[number], NULL, lines);
    else
        code = open_raw(set->raw_source, strcmp(field, "src") == 0 ? NULL : field, lines);
    buffer_free(&path);
    return code;
}

static enum status print_fields(FILE *stream, const char *name, const char *pair)
{
    struct testset set = {0};
    const enum status code = testset_find(&set, name, pair);
    for (size_t i = 0; code == STATUS_OK && i < set.fields.count; i++)
        fprintf(stream, "%s%s%s", i == 0 ? pair : "", i == 0 ? ": " : ", ", set.fields.items[i]);
    if (code == STATUS_OK)
        fputc('\n', stream);
    testset_free(&set);
    return code;
}

static void print_pairs(FILE *stream, const char *name, const struct testset_names *pairs)
{
    fprintf(stream, "%-30s:", name);
    for (size_t i = 0; i < pairs->count; i++)
        fprintf(stream, " %s", pairs->items[i]);
    fputs(pairs->count == 0 ? " raw files only\n" : "\n", stream);
}

/* Prints the sets in and below FOLDER/name ("": all) and counts them. */
static enum status print_sets(FILE *stream, const char *name, int depth, const char *pair,
                              int64_t *n_sets)
{
    struct testset_names entries = {0}, pairs = {0};
    struct buffer path = {0};
    enum status code = testset_folder(&path);
    if (code == STATUS_OK)
        code = buffer_printf(&path, "/%s", name);
    if (code == STATUS_OK)
        code = testset_names_list(path.data, &entries);
    if (code == STATUS_OK && name[0] != '\0')
        code = find_fields(name, NULL, &pairs);
    const bool has_raw = name[0] != '\0' && testset_names_have(&entries, "raw") && pair == NULL;
    if (code == STATUS_OK &&
        (pair == NULL ? pairs.count > 0 || has_raw : testset_names_have(&pairs, pair))) {
        print_pairs(stream, name, &pairs);
        (*n_sets)++;
    }
    for (size_t i = 0; code == STATUS_OK && depth < DEEPEST_SET && i < entries.count; i++) {
        if (strcmp(entries.items[i], "raw") == 0)
            continue;
        buffer_clear(&path);
        code = buffer_printf(&path, "%s%s%s", name, name[0] == '\0' ? "" : "/", entries.items[i]);
        if (code == STATUS_OK)
            code = print_sets(stream, path.data, depth + 1, pair, n_sets);
    }
    testset_names_free(&entries);
    testset_names_free(&pairs);
    buffer_free(&path);
    return code;
}

enum status testset_list(FILE *stream, const char *name, const char *pair)
{
    if (name != NULL && pair != NULL)
        return print_fields(stream, name, pair);
    struct testset_names pairs = {0};
    int64_t n_found = 0;
    enum status code = STATUS_OK;
    if (name == NULL)
        code = print_sets(stream, "", 0, pair, &n_found);
    else
        code = find_fields(name, NULL, &pairs);
    for (size_t i = 0; code == STATUS_OK && i < pairs.count; i++, n_found++)
        code = print_fields(stream, name, pairs.items[i]);
    testset_names_free(&pairs);
    struct buffer path = {0};
    if (code == STATUS_OK && n_found == 0)
        code = testset_folder(&path);
    if (code == STATUS_OK && n_found == 0)
        code = status_set(STATUS_FAILED, "%s holds no test set%s%s", path.data,
                          name == NULL ? "" : " ", name == NULL ? "" : name);
    buffer_free(&path);
    return code;
}
