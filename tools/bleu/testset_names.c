#include "tools/bleu/testset_names.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

static enum status out_of_memory(void)
{
    return status_set(STATUS_MEMORY, "no memory for the names of a test set");
}

enum status testset_names_add(struct testset_names *names, const char *name, size_t size)
{
    char **items = realloc(names->items, (names->count + 1) * sizeof *items);
    if (items == NULL)
        return out_of_memory();
    names->items = items;
    items[names->count] = strndup(name, size);
    return items[names->count] == NULL ? out_of_memory() : (names->count++, STATUS_OK);
}

bool testset_names_have(const struct testset_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i], name) == 0)
            return true;
    }
    return false;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum status testset_names_list(const char *path, struct testset_names *names)
{
    DIR *folder = opendir(path);
    if (folder == NULL)
        return STATUS_OK;
    enum status code = STATUS_OK;
    for (struct dirent *entry; code == STATUS_OK && (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] != '.')
            code = testset_names_add(names, entry->d_name, strlen(entry->d_name));
    }
    closedir(folder);
    if (names->count > 1)
        qsort(names->items, names->count, sizeof *names->items, compare_names);
    return code;
}

void testset_names_free(struct testset_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
    *names = (struct testset_names){0};
}
