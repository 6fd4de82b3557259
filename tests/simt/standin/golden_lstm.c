/* Reader of lstm.txt. */
#include "tests/simt/standin/golden_lstm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_TENSORS = 256 };

static struct golden_numbers tensors[MAX_TENSORS];
static int n_tensors;

static bool read_tensor(FILE *stream, struct golden_numbers *tensor)
{
    int rank = 0;
    tensor->count = 1;
    if (fscanf(stream, "%31s %d", tensor->name, &rank) != 2)
        return false;
    for (int i = 0; i < rank; i++) {
        long long dim = 0;
        assert_int_equal(fscanf(stream, "%lld", &dim), 1);
        tensor->count *= dim;
    }
    tensor->values = malloc((size_t)tensor->count * sizeof *tensor->values);
    assert_non_null(tensor->values);
    for (int64_t i = 0; i < tensor->count; i++)
        assert_int_equal(fscanf(stream, "%f", &tensor->values[i]), 1);
    return true;
}

void golden_lstm_open(const char *path)
{
    FILE *stream = fopen(path, "r");
    if (!stream)
        fail_msg("cannot open %s", path);
    while (n_tensors < MAX_TENSORS && read_tensor(stream, &tensors[n_tensors]))
        n_tensors++;
    assert_true(n_tensors < MAX_TENSORS);
    fclose(stream);
}

void golden_lstm_close(void)
{
    while (n_tensors > 0)
        free(tensors[--n_tensors].values);
}

const struct golden_numbers *golden_lstm_find(const char *name, const char *what, int pseudo_layer)
{
    char wanted[64] = "";
    if (pseudo_layer < 0)
        snprintf(wanted, sizeof wanted, "%s.%s", name, what);
    else
        snprintf(wanted, sizeof wanted, "%s.%s.%d", name, what, pseudo_layer);
    for (int i = 0; i < n_tensors; i++)
        if (strcmp(tensors[i].name, wanted) == 0)
            return &tensors[i];
    return NULL;
}
