/* What the numerical tests share: a backend by name, memory, parameters, and numbers in and out.
 *
 * A test that cannot set itself up ends the program: nothing here returns an error. */
#ifndef MIXT_TESTS_FIXTURE_H
#define MIXT_TESTS_FIXTURE_H

#include "layer/param.h"
#include "layer/pass.h"
#include "layer/sequence.h"

struct fixture {
    struct backend backend;
    struct arena param_arena, arena; /* of the backend */
    struct arena param_host, host;   /* of the host */
    struct param_list params;        /* trains */
    struct pass pass;                /* a training pass without dropout; change it freely */
    uint32_t n_drawn;                /* test numbers drawn so far */
};

/* Opens "ref64", "ref" or "cpu". */
void fixture_open(struct fixture *fixture, const char *backend);
void fixture_close(struct fixture *fixture);

/* Fills every parameter with numbers in -scale .. scale, packs, and zeroes the gradients. */
void fixture_start(struct fixture *fixture, double scale);

/* The next test number in -1 .. 1, and in 0 .. bound-1. */
double fixture_uniform(struct fixture *fixture);
int32_t fixture_below(struct fixture *fixture, int32_t bound);

/* Tensors of the fixture's arena. Random ones lie in -scale .. scale; ids in 0 .. bound-1. */
struct tensor fixture_random_2d(struct fixture *fixture, int64_t d0, int64_t d1, double scale);
struct tensor fixture_random_3d(struct fixture *fixture, int64_t d0, int64_t d1, int64_t d2,
                                double scale);
struct tensor fixture_ints(struct fixture *fixture, const int32_t *values, int64_t count);
struct tensor fixture_ids(struct fixture *fixture, int64_t d0, int64_t d1, int32_t bound);

/* A sequence of n_t steps with random ids and names. With lengths [n_b], rows are set too. NULL:
 * all are n_t long, and rows and names are absent. */
struct sequence fixture_sequence(struct fixture *fixture, int64_t n_t, int64_t n_b,
                                 const int32_t *lengths, int32_t n_words);

/* Real tensors to and from doubles; fixture_values takes the doubles from the host's arena. */
void fixture_write(struct fixture *fixture, const struct tensor *tensor, const double *values);
void fixture_read(struct fixture *fixture, const struct tensor *tensor, double *values);
double *fixture_values(struct fixture *fixture, const struct tensor *tensor);
int32_t *fixture_read_ints(struct fixture *fixture, const struct tensor *tensor);

/* One number of a real tensor, counted from its first. */
double fixture_get(struct fixture *fixture, const struct tensor *tensor, int64_t index);
void fixture_set(struct fixture *fixture, const struct tensor *tensor, int64_t index, double value);

/* Fails the test, naming the place and both values, where |got - want| > relative * (|want| + rms
 * of want), or where either is not finite. */
void expect_close(const char *name, const double *got, const double *want, int64_t count,
                  double relative);

/* Sum of squared differences over sum of squares of want. */
double normalized_error(const double *got, const double *want, int64_t count);

#endif
