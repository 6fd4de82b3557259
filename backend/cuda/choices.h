/* The sizes of a choice, as kernels.h wants them, from the tensors of an operation. */
#ifndef MIXT_BACKEND_CUDA_CHOICES_H
#define MIXT_BACKEND_CUDA_CHOICES_H

#include "backend/cuda/context.h"
#include "backend/cuda/kernels.h"

/* Of choices [N, K], or [C] with starts; both may be NULL or absent where backend.h says so. */
static inline struct choice_shape choice_shape_of(const struct tensor *choices,
                                                  const struct tensor *starts, int64_t n_experts,
                                                  int64_t n_groups)
{
    const bool has_starts = starts && starts->rank;
    return (struct choice_shape){.n_tokens =
                                     has_starts ? tensor_count(starts) - 1 : tensor_rows(choices),
                                 .n_choices = tensor_count(choices),
                                 .k = has_starts ? 0 : tensor_columns(choices),
                                 .n_experts = n_experts,
                                 .n_groups = n_groups};
}

#endif
