/* What versions 2 and 3 of oneDNN write differently; included by onednn.c alone. */
#ifndef MIXT_BACKEND_CPU_ONEDNN_VERSIONS_H
#define MIXT_BACKEND_CPU_ONEDNN_VERSIONS_H

#include <dnnl.h>
#include <string.h>

#include "backend/backend.h"

/* Version 2 passes descriptions as pointers to structs, version 3 has handles of its own. */
#if DNNL_VERSION_MAJOR >= 3
#    define DESC(desc) (desc)
#else
#    define DESC(desc) (&(desc))
#endif

/* The operands of a matmul, all owned: zeroed, or described. */
struct matmul_desc {
    dnnl_memory_desc_t source, weights, bias, target;
    bool has_bias;
};

static inline void desc_free(dnnl_memory_desc_t *desc)
{
#if DNNL_VERSION_MAJOR >= 3
    dnnl_memory_desc_destroy(*desc);
#endif
    memset(desc, 0, sizeof *desc);
}

static inline bool desc_query(dnnl_memory_desc_t *desc, const_dnnl_primitive_desc_t from,
                              dnnl_query_t what)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_clone(desc, dnnl_primitive_desc_query_md(from, what, 0)) ==
           dnnl_success;
#else
    *desc = *dnnl_primitive_desc_query_md(from, what, 0);
    return true;
#endif
}

static inline bool desc_copy(dnnl_memory_desc_t *desc, const dnnl_memory_desc_t *from)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_clone(desc, *from) == dnnl_success;
#else
    *desc = *from;
    return true;
#endif
}

/* A matrix with the given distances between rows and columns. */
static inline bool desc_matrix(dnnl_memory_desc_t *desc, dnnl_data_type_t type, int64_t rows,
                               int64_t columns, int64_t row_stride, int64_t column_stride)
{
    const dnnl_dims_t dims = {rows, columns}, strides = {row_stride, column_stride};
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_create_with_strides(desc, 2, dims, type, strides) == dnnl_success;
#else
    return dnnl_memory_desc_init_by_strides(desc, 2, dims, type, strides) == dnnl_success;
#endif
}

/* A matrix that oneDNN may store as it likes. */
static inline bool desc_any(dnnl_memory_desc_t *desc, dnnl_data_type_t type, int64_t rows,
                            int64_t columns)
{
    const dnnl_dims_t dims = {rows, columns};
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_memory_desc_create_with_tag(desc, 2, dims, type, dnnl_format_tag_any) ==
           dnnl_success;
#else
    return dnnl_memory_desc_init_by_tag(desc, 2, dims, type, dnnl_format_tag_any) == dnnl_success;
#endif
}

/* Adds to the old result, or applies an activation. */
static inline bool append_end(dnnl_post_ops_t post_ops, bool accumulate, int activation)
{
    static const dnnl_alg_kind_t algorithm[] = {[ACTIVATION_RELU] = dnnl_eltwise_relu,
                                                [ACTIVATION_TANH] = dnnl_eltwise_tanh,
                                                [ACTIVATION_SIGMOID] = dnnl_eltwise_logistic};
    dnnl_status_t status = dnnl_success;
#if DNNL_VERSION_MAJOR >= 3
    if (accumulate)
        status = dnnl_post_ops_append_sum(post_ops, 1, 0, dnnl_data_type_undef);
    if (status == dnnl_success && activation != ACTIVATION_NONE)
        status = dnnl_post_ops_append_eltwise(post_ops, algorithm[activation], 0, 0);
#else
    if (accumulate)
        status = dnnl_post_ops_append_sum(post_ops, 1);
    if (status == dnnl_success && activation != ACTIVATION_NONE)
        status = dnnl_post_ops_append_eltwise(post_ops, 1, algorithm[activation], 0, 0);
#endif
    return status == dnnl_success;
}

static inline bool describe_matmul(dnnl_primitive_desc_t *result, dnnl_engine_t engine,
                                   const struct matmul_desc *desc, dnnl_primitive_attr_t attributes)
{
#if DNNL_VERSION_MAJOR >= 3
    return dnnl_matmul_primitive_desc_create(result, engine, desc->source, desc->weights,
                                             desc->has_bias ? desc->bias : NULL, desc->target,
                                             attributes) == dnnl_success;
#else
    dnnl_matmul_desc_t matmul;
    return dnnl_matmul_desc_init(&matmul, &desc->source, &desc->weights,
                                 desc->has_bias ? &desc->bias : NULL,
                                 &desc->target) == dnnl_success &&
           dnnl_primitive_desc_create(result, &matmul, attributes, engine, NULL) == dnnl_success;
#endif
}

static inline void matmul_desc_free(struct matmul_desc *desc)
{
    desc_free(&desc->source);
    desc_free(&desc->weights);
    desc_free(&desc->bias);
    desc_free(&desc->target);
}

#endif
