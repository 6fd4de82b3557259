/* Sorting tokens by expert, and bringing the experts' outputs back together. */
#include "backend/ref/choices.h"

/* How many choices a token has where all have equally many. */
static int64_t fixed_k(const struct tensor *experts, const struct tensor *starts)
{
    return starts ? 0 : tensor_columns(experts);
}

static int64_t token_count(const struct tensor *experts, const struct tensor *starts)
{
    return starts ? tensor_count(starts) - 1 : tensor_rows(experts);
}

/* Adds the group's first expert to each choice: its expert among all G*E. */
static int64_t global_expert(const struct tensor *experts, const struct tensor *groups, int64_t c,
                             int64_t group, int64_t n_all)
{
    const int64_t e = ints(experts)[c] + group * (n_all / group_count(groups));
    CHECK(e >= 0 && e < n_all, "expert %lld of %lld", (long long)e, (long long)n_all);
    return e;
}

static void ref_dispatch(struct backend *backend, const struct tensor *rows,
                         const struct tensor *place, const struct tensor *offsets,
                         const struct tensor *experts, const struct tensor *starts,
                         const struct tensor *groups)
{
    if (backend->error < 0)
        return; /* another backend's operations, which chose, did nothing then */
    const int64_t n_choices = tensor_count(experts), n_all = tensor_count(offsets) - 1;
    const int64_t k = fixed_k(experts, starts), n_tokens = token_count(experts, starts);
    CHECK(tensor_count(rows) == n_choices && tensor_count(place) == n_choices && n_all >= 1,
          "shapes differ");
    int32_t *start = ints(offsets);
    for (int64_t e = 0; e <= n_all; e++)
        start[e] = 0;
    for (int pass = 0; pass < 2; pass++) {
        int64_t group = 0;
        for (int64_t n = 0; n < n_tokens; n++) {
            while (groups && n >= ints(groups)[group + 1])
                group++;
            for (int64_t c = first_of(starts, k, n); c < first_of(starts, k, n + 1); c++) {
                const int64_t e = global_expert(experts, groups, c, group, n_all);
                if (pass == 0) {
                    start[e + 1]++;
                    continue;
                }
                /* Each place is taken from its expert's start, which moves on. */
                ints(place)[c] = start[e]++;
                ints(rows)[ints(place)[c]] = (int32_t)n;
            }
        }
        for (int64_t e = 0; e < n_all && pass == 0; e++)
            start[e + 1] += start[e];
    }
    for (int64_t e = n_all; e > 0; e--)
        start[e] = start[e - 1];
    start[0] = 0;
}

static void ref_combine(struct backend *backend, const struct tensor *y, const struct tensor *x,
                        const struct tensor *weights, const struct tensor *place,
                        const struct tensor *starts)
{
    (void)backend;
    const int64_t width = tensor_columns(y), k = fixed_k(place, starts);
    CHECK(tensor_rows(y) == token_count(place, starts) && tensor_rows(x) == tensor_count(place) &&
              tensor_columns(x) == width,
          "shapes differ");
    for (int64_t n = 0; n < tensor_rows(y); n++)
        for (int64_t d = 0; d < width; d++) {
            double sum = 0;
            for (int64_t c = first_of(starts, k, n); c < first_of(starts, k, n + 1); c++)
                sum += (weights ? (double)reals(weights)[c] : 1) *
                       reals(x)[ints(place)[c] * width + d];
            reals(y)[n * width + d] = (real)sum;
        }
}

static void ref_combine_backward(struct backend *backend, const struct tensor *d_x,
                                 const struct tensor *d_weights, const struct tensor *x,
                                 const struct tensor *weights, const struct tensor *place,
                                 const struct tensor *starts, const struct tensor *d_y)
{
    (void)backend;
    const int64_t width = tensor_columns(d_y), k = fixed_k(place, starts);
    CHECK(tensor_rows(d_y) == token_count(place, starts) && tensor_rows(d_x) == tensor_count(place),
          "shapes differ");
    for (int64_t n = 0; n < tensor_rows(d_y); n++)
        for (int64_t c = first_of(starts, k, n); c < first_of(starts, k, n + 1); c++) {
            const int64_t row = ints(place)[c] * width;
            double dot = 0;
            for (int64_t d = 0; d < width; d++) {
                const double up = reals(d_y)[n * width + d];
                dot += up * reals(x)[row + d];
                reals(d_x)[row + d] = (real)(reals(weights)[c] * up);
            }
            reals(d_weights)[c] = (real)dot;
        }
}

void REF(set_moe)(struct backend_ops *ops)
{
    ops->dispatch = ref_dispatch;
    ops->combine = ref_combine;
    ops->combine_backward = ref_combine_backward;
}
