/* oneDNN: products of matrices from code that it compiles for each shape. onednn.c is the only file
 * that speaks to it, and builds with versions 2 and 3.
 *
 * oneDNN fixes the number of threads when it compiles, and keeps the operands' addresses in
 * objects, so a struct onednn serves one caller at a time. What was compiled is kept until it is
 * closed; the caller limits how many shapes there are. */
#ifndef MIXT_BACKEND_CPU_ONEDNN_H
#define MIXT_BACKEND_CPU_ONEDNN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct onednn;
struct onednn_layout; /* how it wants a packed matrix [K, N] */
struct gemm_end;

/* Instructions that it may use: this processor has them and ONEDNN_MAX_CPU_ISA allows them. */
enum onednn_isa { ONEDNN_AVX2, ONEDNN_VNNI, ONEDNN_BF16, ONEDNN_AMX };
bool onednn_allows(enum onednn_isa isa);

/* NULL when oneDNN or the memory fails. */
struct onednn *onednn_open(int n_threads);
void onednn_close(struct onednn *onednn);

/* A layout for matrices [k, n] that meet rows in f32 or, is_bf16, in bf16; NULL where oneDNN has
 * none. */
struct onednn_layout *onednn_layout_open(struct onednn *onednn, int64_t k, int64_t n, bool is_bf16);
void onednn_layout_close(struct onednn_layout *layout);
size_t onednn_layout_bytes(const struct onednn_layout *layout);

/* Whether a row's result in a product does not depend on how many rows there are. */
bool onednn_rows_are_free(const struct onednn_layout *layout);

/* The functions below return false when oneDNN fails, and onednn_message() says at what. */
const char *onednn_message(const struct onednn *onednn);

/* target, packed [k, n], from source [k, n], or [n, k] when transposed. */
bool onednn_pack(struct onednn *onednn, const struct onednn_layout *layout, void *target,
                 const float *source, bool transposed);

/* y [rows, n] = end(x [rows, k] packed [k, n]), x in f32 or bf16 as the layout says; compiles each
 * number of rows apart. */
bool onednn_product(struct onednn *onednn, const struct onednn_layout *layout, const void *packed,
                    float *y, const void *x, int64_t rows, const struct gemm_end *end);

/* d_w [in, out] += x [rows, in]^T d_y [rows, out], both in f32 or both in bf16; compiles each
 * number of rows apart. */
bool onednn_gradient(struct onednn *onednn, float *d_w, const void *x, const void *d_y,
                     int64_t rows, int64_t in, int64_t out, bool is_bf16);

/* The same in f32 for any number of rows, without compiling; slower for many rows. */
bool onednn_gradient_any(struct onednn *onednn, float *d_w, const float *x, const float *d_y,
                         int64_t rows, int64_t in, int64_t out);

#endif
