/* Handles and descriptors of the stand-in of cuBLASLt. */
#ifndef MIXT_TESTS_SIMT_STANDIN_BLASLT_HH
#define MIXT_TESTS_SIMT_STANDIN_BLASLT_HH

#include <cublasLt.h>

#include <cstddef>
#include <cstdint>
#include <map>

struct cublasLtContext {
    int device;
};

/* A descriptor of any kind: its attributes, and the real library's one to judge them. */
struct blaslt_descriptor {
    const struct blaslt_kind *kind;
    void *real;                        /* NULL without the real library */
    std::map<int, uint64_t> attribute; /* by number; the bytes of the value, zero-extended */
};

/* Whether the call may go on: is this a handle, is its device current, shall the call fail? */
cublasStatus_t blaslt_enter(const char *function, cublasLtHandle_t handle);

/* The descriptor behind a pointer of the interface; NULL, with a complaint, if it is none. */
const struct blaslt_descriptor *blaslt_matmul_desc(const char *function, cublasLtMatmulDesc_t desc);
const struct blaslt_descriptor *blaslt_layout(const char *function, cublasLtMatrixLayout_t layout);
const struct blaslt_descriptor *blaslt_preference(const char *function,
                                                  cublasLtMatmulPreference_t preference);

/* An attribute as a whole number, sign-extended where it is a signed one. */
int64_t blaslt_int(const struct blaslt_descriptor *descriptor, int attribute);
void *blaslt_pointer(const struct blaslt_descriptor *descriptor, int attribute);

#endif
