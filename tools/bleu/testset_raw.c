#include "tools/bleu/testset_raw.h"

#include <stddef.h>
#include <string.h>

#include "base/file.h"

enum { DEEPEST_RAW = 8 }; /* levels of folders looked into */

/* Adds the .sgm and .xml files in and below a folder. */
static enum status find_raw(const char *folder, int depth, struct testset_names *paths)
{
    struct testset_names entries = {0};
    struct buffer path = {0};
    enum status code = testset_names_list(folder, &entries);
    for (size_t i = 0; code == STATUS_OK && i < entries.count; i++) {
        const char *dot = strrchr(entries.items[i], '.');
        buffer_clear(&path);
        code = buffer_printf(&path, "%s/%s", folder, entries.items[i]);
        if (code < 0)
            break;
        if (file_is_directory(path.data))
            code = depth < DEEPEST_RAW ? find_raw(path.data, depth + 1, paths) : STATUS_OK;
        else if (dot != NULL && (strcmp(dot, ".sgm") == 0 || strcmp(dot, ".xml") == 0))
            code = testset_names_add(paths, path.data, path.size);
    }
    buffer_free(&path);
    testset_names_free(&entries);
    return code;
}

/* Does the file's name hold "-XXYY-", "-XXYY." or the same with another first mark? Says how well
 * it fits the pair: 2 as it is, 1 the other way round, 0 where no pair is named, -1 another. */
static int pair_fit(const char *file, const char *pair)
{
    const size_t first = strcspn(pair, "-");
    const char *source = pair, *target = pair + first + 1;
    const size_t second = strlen(target);
    for (const char *at = strchr(file, '-'); at != NULL; at = strchr(at + 1, '-')) {
        const char *word = at + 1;
        const size_t size = strcspn(word, "-.");
        if (size != first + second || strncmp(word, "src", 3) == 0 || strncmp(word, "ref", 3) == 0)
            continue;
        if (strncmp(word, source, first) == 0 && strncmp(word + first, target, second) == 0)
            return 2;
        if (strncmp(word, target, second) == 0 && strncmp(word + second, source, first) == 0)
            return 1;
        if (size == 4 && strspn(word, "abcdefghijklmnopqrstuvwxyz") == size)
            return -1;
    }
    return strstr(file, pair) != NULL ? 2 : 0;
}

/* How well a raw file fits as source or reference of the pair; 0: not at all. */
static int raw_fit(const char *path, const char *pair, const char *role)
{
    const char *slash = strrchr(path, '/');
    const char *file = slash == NULL ? path : slash + 1;
    const bool is_source = strcmp(role, "-src") == 0;
    const size_t first = strcspn(pair, "-");
    const char *language = is_source ? pair : pair + first + 1;
    const size_t size = is_source ? first : strlen(language);
    const char *dot = strrchr(file, '.');
    const bool is_language = (size_t)(dot - file) > size && dot[-(ptrdiff_t)size - 1] == '.' &&
                             strncmp(dot - size, language, size) == 0;
    const int of_pair = pair_fit(file, pair);
    if (!is_language || of_pair < 0)
        return 0;
    const int of_role = strstr(file, role) != NULL ? 8 : strstr(file, "-ref") != NULL ? 0 : 4;
    return of_role + of_pair + 1;
}

/* A second reference, published as newstestB, counts only in the sets that are made of both. */
static bool is_second(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    return strncmp(slash + 1, "newstestB", 9) == 0 && strstr(name, "tworefs") == NULL &&
           strstr(name, "/B") == NULL;
}

/* Adds those of the raw files that fit best. */
static enum status choose_raw(const struct testset_names *paths, const char *name, const char *pair,
                              const char *role, struct testset_names *chosen)
{
    int best = 1;
    for (size_t i = 0; i < paths->count; i++) {
        const int fit = raw_fit(paths->items[i], pair, role);
        if (fit > best && !is_second(paths->items[i], name))
            best = fit;
    }
    enum status code = STATUS_OK;
    for (size_t i = 0; code == STATUS_OK && i < paths->count; i++) {
        if (raw_fit(paths->items[i], pair, role) == best && !is_second(paths->items[i], name))
            code = testset_names_add(chosen, paths->items[i], strlen(paths->items[i]));
    }
    return code;
}

enum status testset_raw_find(const char *folder, const char *name, const char *pair, char **source,
                             struct testset_names *references)
{
    struct testset_names paths = {0}, sources = {0};
    enum status code = find_raw(folder, 0, &paths);
    if (code == STATUS_OK)
        code = choose_raw(&paths, name, pair, "-src", &sources);
    if (code == STATUS_OK)
        code = choose_raw(&paths, name, pair, "-ref", references);
    const bool is_double = references->count > 1 && strstr(name, "tworefs") == NULL;
    const struct testset_names *doubtful = sources.count > 1 ? &sources : references;
    if (code == STATUS_OK && (sources.count > 1 || is_double))
        code = status_set(STATUS_FAILED, "test set %s, %s: is it %s or %s?", name, pair,
                          doubtful->items[0], doubtful->items[1]);
    if (code == STATUS_OK && sources.count == 1 && references->count > 0) {
        *source = sources.items[0];
        sources.count = 0;
    } else {
        testset_names_free(references);
    }
    testset_names_free(&sources);
    testset_names_free(&paths);
    return code;
}
