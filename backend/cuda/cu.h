/* The only header that a kernel file includes.
 *
 * Under nvcc it is CUDA. Under a host compiler it is the emulator of tests/simt, which runs one
 * fiber a thread, and checks. Kernels keep to what both know (doc/cuda.md): shared memory and
 * launches by the macros below, the warp calls with _sync and a full mask, blocks of whole warps,
 * no more than 48 KiB of shared memory, no return before a barrier. */
#ifndef MIXT_BACKEND_CUDA_CU_H
#define MIXT_BACKEND_CUDA_CU_H

#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <stdint.h>

#ifdef __CUDACC__
/* A shared array of a fixed shape: CU_SHARED(float, part, [32]). */
#    define CU_SHARED(type, name, shape) __shared__ type name shape
/* The shared memory whose size the launch gives. */
#    define CU_SHARED_DYNAMIC(type, name)                                                          \
        extern __shared__ __align__(16) unsigned char cu_dynamic[];                                \
        type *name = (type *)cu_dynamic
/* Launches, and is the cudaError_t of the launch; a template's instance stands in parentheses. */
#    define CU_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                              \
        (kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__), cudaPeekAtLastError())
#else
#    include "tests/simt/simt.h"
#endif

#endif
