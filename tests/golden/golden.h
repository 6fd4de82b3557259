/* Reads the files of make_golden.py: tensors by name, as text.
 *
 * Each tensor takes two lines: "NAME RANK D0 D1 ..", then its numbers. */
#ifndef MIXT_TESTS_GOLDEN_GOLDEN_H
#define MIXT_TESTS_GOLDEN_GOLDEN_H

#include "tests/fixture.h"

struct golden_tensor {
    char name[64];
    int rank;
    int64_t dim[TENSOR_MAX_RANK];
    int64_t count;
    double *values; /* in the golden's arena */
};

struct golden {
    struct arena arena;
    struct golden_tensor *tensors;
    int64_t count;
};

/* Reads a whole file; fails the test when it cannot. */
void golden_open(struct golden *golden, const char *path);
void golden_close(struct golden *golden);

/* The tensor "PREFIX" "NAME"; fails the test where there is none. */
const struct golden_tensor *golden_find(const struct golden *golden, const char *prefix,
                                        const char *name);

/* It as a tensor of the fixture: real, or whole numbers. */
struct tensor golden_real(const struct golden *golden, struct fixture *fixture, const char *prefix,
                          const char *name);
struct tensor golden_ints(const struct golden *golden, struct fixture *fixture, const char *prefix,
                          const char *name);

/* Sets a parameter to it. */
void golden_set(const struct golden *golden, struct fixture *fixture, const char *prefix,
                const char *name, const struct param *param);

/* Compares a real tensor, or whole numbers exactly. The shape may differ, the count may not. */
void golden_expect(const struct golden *golden, struct fixture *fixture, const char *prefix,
                   const char *name, const struct tensor *got, double relative);
void golden_expect_ints(const struct golden *golden, struct fixture *fixture, const char *prefix,
                        const char *name, const struct tensor *got);

#endif
