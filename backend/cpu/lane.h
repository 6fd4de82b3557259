/* A lane: some threads, oneDNN's code that was compiled for them, and their working memory. Every
 * thread that works alone has a lane of its own, and the whole team has one. */
#ifndef MIXT_BACKEND_CPU_LANE_H
#define MIXT_BACKEND_CPU_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"

struct lane;
struct gemm_layout;
struct gemm_end;

/* Whether the processor multiplies matrices of bf16 faster than of f32: with AMX. */
bool lane_has_amx(void);

/* Whether it multiplies vectors of fp16: AVX512-FP16. */
bool lane_has_half(void);

/* Vector units, as far as oneDNN may use them (ONEDNN_MAX_CPU_ISA): so that all of this folder's
 * kernels follow one setting. */
enum lane_vectors { LANE_PLAIN, LANE_AVX2, LANE_VNNI, LANE_AMX };
enum lane_vectors lane_best_vectors(void);

/* NULL when oneDNN or the memory fails. */
struct lane *lane_open(int n_threads);
void lane_close(struct lane *lane);

/* Where a row's result in a product does not depend on how many rows there are. */
bool lane_rows_are_free(const struct gemm_layout *layout);

/* The functions below return false when oneDNN fails, and lane_message() says at what. */
const char *lane_message(const struct lane *lane);

/* A new layout for matrices [k, n], or NULL. In bf16 products round their rows, and sum in f32; in
 * fp16 see half.h. */
struct gemm_layout *lane_choose_layout(struct lane *lane, int64_t k, int64_t n,
                                       enum compute compute);

/* target, packed [k, n], from source [k, n], or [n, k] when transposed. */
bool lane_pack(struct lane *lane, const struct gemm_layout *layout, void *target,
               const float *source, bool transposed);

/* y [rows, n] = end(x [rows, k] packed [k, n]); compiles each number of rows apart. */
bool lane_product(struct lane *lane, const struct gemm_layout *layout, const void *packed, float *y,
                  const float *x, int64_t rows, struct gemm_end end);

/* d_w [in, out] += x [rows, in]^T d_y [rows, out]; compiles each number of rows apart. */
bool lane_gradient(struct lane *lane, float *d_w, const float *x, const float *d_y, int64_t rows,
                   int64_t in, int64_t out);

/* The same for any number of rows, without compiling; slower for many rows. */
bool lane_gradient_any(struct lane *lane, float *d_w, const float *x, const float *d_y,
                       int64_t rows, int64_t in, int64_t out);

/* The same from operands rounded to bf16; compiles each multiple of 32 rows apart. */
bool lane_gradient_bf16(struct lane *lane, float *d_w, const float *x, const float *d_y,
                        int64_t rows, int64_t in, int64_t out);

/* The same on AMX's tiles, and in fp16, for any number of rows; see amx.h and half.h. */
bool lane_gradient_amx(struct lane *lane, float *d_w, const float *x, const float *d_y,
                       int64_t rows, int64_t in, int64_t out);
bool lane_gradient_half(struct lane *lane, float *d_w, const float *x, const float *d_y,
                        int64_t rows, int64_t in, int64_t out);

/* Memory of the lane for rows that need filling up; NULL when there is none. */
float *lane_scratch(struct lane *lane, size_t count);

/* Other memory of the lane, for a packed matrix that goes on to be used; likewise. */
void *lane_room(struct lane *lane, size_t size_bytes);

#endif
