/* Checks every operation of a backend against the reference, and times it.
 *
 * A trial is one call with its operands: numbers that are exact in f32, given to each backend in
 * its own type between guard words. The reference in f32 is the truth for the backend under test;
 * the reference in f64 is the truth for the one in f32. */
#ifndef MIXT_TESTS_OP_OP_H
#define MIXT_TESTS_OP_OP_H

#include "backend/backend.h"
#include "base/arena.h"

enum { MAX_OPERANDS = 20, MAX_HANDLES = 2 };

enum use {
    USE_IN,     /* must come out as it went in */
    USE_OUT,    /* compared within the bounds of f32 sums */
    USE_INOUT,  /* the same, with a value before the call */
    USE_EXACT,  /* compared bit by bit */
    USE_SCRATCH /* may be overwritten with anything; only the guards are looked at */
};

struct operand {
    const char *name;
    enum use use;
    enum dtype dtype; /* DTYPE_F32 stands for the backend's real type */
    int rank;         /* 0: absent */
    int64_t dim[TENSOR_MAX_RANK];
    double *values; /* [count] before the call, borrowed from the checker's arena */
    bool is_weight; /* packed in both forms before the call */
    double *scale;  /* [count] add_scale()'s, or NULL */
};

/* One call. The numbers that are no tensors stand in the fields below, as each family likes. */
struct trial {
    const char *op;
    void (*call)(struct backend *backend, struct tensor *operands, struct weight *weights,
                 const struct trial *trial);
    int n_operands;
    struct operand operands[MAX_OPERANDS];
    enum {
        INT8_NONE,
        INT8_PLAIN,
        INT8_TRANSPOSED
    } int8;        /* weights are rounded to int8, to be read
                                                             in this form */
    bool is_exact; /* the outputs are the reference's to the bit */
    bool is_split; /* sums over rows may follow the threads: the bits may differ among handles */
    bool flag[3];
    int64_t number[3];
    double real[3];
    enum activation activation;
    struct random_key key;
    double work; /* floating-point operations, or 0: numbers read and written are counted */
    size_t mark; /* where the checker's arena stood before */
};

struct checker {
    struct arena arena;  /* of the host */
    struct arena device; /* of the handles' memory, where that is another */
    struct backend ref, ref64;
    struct backend handles[MAX_HANDLES]; /* under test; with one thread, and with several */
    int n_handles;
    int n_compared; /* handles that trials run on */
    bool is_remote; /* the handles' memory is not the host's */
    uint64_t seed;
    uint32_t n_drawn;
    float *normals; /* of the seed, borrowed from the arena */
    bool is_bench;
    bool is_worst; /* fill() puts extreme values at the front */
    bool is_fp16;  /* it rounds them and their sums to fp16 */
    bool is_bf16;  /* the backend rounds products' operands: reals are drawn so that it loses
                      nothing, chains of products have wider bounds, and rows and threads may
                      change the order of sums */
    int n_passed, n_failed, n_skipped;
};

/* An operation's checks; they run trials for many shapes, or large ones with is_bench. */
struct op_check {
    const char *name;
    size_t offset; /* in struct backend_ops */
    void (*check)(struct checker *checker);
};

extern const struct op_check element_checks[], layer_checks[], product_checks[], row_checks[],
    gate_checks[], choice_checks[], int8_checks[]; /* each ends with a NULL name */

#define OP(member, check)                                                                          \
    {                                                                                              \
#        member, offsetof(struct backend_ops, member), check                                       \
    }

/* Row counts that catch what goes wrong at the borders of vectors, blocks and threads. */
enum { N_ROW_COUNTS = 12 };
extern const int64_t row_counts[N_ROW_COUNTS];

/* -- drawing -- */

/* Before the first draw, and to begin again with other numbers. */
void seed_checker(struct checker *checker, uint64_t seed);
double draw_normal(struct checker *checker);
int64_t draw_below(struct checker *checker, int64_t bound);

/* -- building; each adds one operand, filled, and returns its values -- */

struct trial trial_of(const struct checker *checker, const char *op,
                      void (*call)(struct backend *, struct tensor *, struct weight *,
                                   const struct trial *));
/* Normal numbers times scale; 0: zeros. d0 < 0: an absent operand. */
double *add_reals(struct checker *checker, struct trial *trial, const char *name, enum use use,
                  double scale, int rank, int64_t d0, int64_t d1, int64_t d2);
/* Whole numbers in 0..bound-1. */
double *add_ints(struct checker *checker, struct trial *trial, const char *name, enum use use,
                 int64_t bound, int rank, int64_t d0, int64_t d1);
double *add_weight(struct checker *checker, struct trial *trial, const char *name, int rank,
                   int64_t d0, int64_t d1, int64_t d2);
/* Lengths 1..longest, the first one longest; descending, or in any order. */
double *add_lengths(struct checker *checker, struct trial *trial, int64_t count, int64_t longest,
                    bool descending);
/* Ascending starts of n_groups runs of n_rows rows; some are empty. */
double *add_offsets(struct checker *checker, struct trial *trial, int64_t n_groups, int64_t n_rows);
/* The same, or an absent operand for 0 groups. */
double *add_groups(struct checker *checker, struct trial *trial, int64_t n_groups, int64_t n_rows);
/* Different whole numbers below bound, in any order. */
void add_permutation(struct checker *checker, struct trial *trial, const char *name, int rank,
                     int64_t d0, int64_t d1, int64_t bound);

/* For the operand added last, whose numbers are sums that may cancel: the sum of each one's
 * summands without their signs, zeros until the caller writes them. What rounding each summand to
 * f32 once may change is no error then. */
double *add_scale(struct checker *checker, struct trial *trial);

/* The operand, or NULL where it is absent: for arguments that may be left out. */
const struct tensor *given(const struct tensor *tensor);

/* -- running -- */

/* Compares on all handles, or times; counts and reports. The trial's memory is given back. */
void check_trial(struct checker *checker, const struct trial *trial);

/* A weight in int8, of the shape of value and rounded from numbers, of which the backend sees no
 * more than the blocks and scales. */
struct weight round_weight(struct checker *checker, struct backend *backend,
                           const struct tensor *value, const float *numbers, bool transposed);

/* Runs on one backend, and replaces the values of all operands by what they are afterwards. */
void run_trial(struct checker *checker, struct backend *backend, struct trial *trial);

/* Runs on a backend and returns operand `index` as it is afterwards, in the backend's own type. */
struct tensor outcome_of(struct checker *checker, struct backend *backend,
                         const struct trial *trial, int index);

/* Counts one pass or failure; a failure prints the message, and the seed. */
void report(struct checker *checker, const char *op, bool is_passed, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* -- invariance.c -- */

/* A row alone, in a batch, with any number of threads: the same bits. */
void check_invariance(struct checker *checker);

/* -- alone.c -- */

/* The same of what promises it on a backend with memory of its own. */
void check_rows_alone(struct checker *checker);

#endif
