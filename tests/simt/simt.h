/* The emulator as a kernel file sees it: CUDA's names for a host compiler (through cu.h).
 *
 * A CUDA thread is a fiber; __syncthreads() and the warp calls switch to another one, chosen at
 * random. What the subset of cu.h leaves out does not compile here, or is reported. The files of
 * the emulator itself include machine.hh instead. */
#ifndef MIXT_TESTS_SIMT_SIMT_H
#define MIXT_TESTS_SIMT_SIMT_H

#include <cuda_runtime.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <tuple>

/* Code of the front must not count as the kernel's own accesses where those are checked. */
#define SIMT_FRONT __attribute__((no_sanitize("thread"), noinline))

enum simt_barrier_op { SIMT_BARRIER, SIMT_BARRIER_OR, SIMT_BARRIER_AND, SIMT_BARRIER_COUNT };
enum simt_warp_op {
    SIMT_SYNC,
    SIMT_BALLOT,
    SIMT_ANY,
    SIMT_ALL,
    SIMT_SHUFFLE,
    SIMT_MATCH,
    SIMT_ADD,
    SIMT_AND,
    SIMT_OR,
    SIMT_XOR,
    SIMT_MIN_SIGNED,
    SIMT_MAX_SIGNED,
    SIMT_MIN_UNSIGNED,
    SIMT_MAX_UNSIGNED
};

/* A kernel with its arguments, called once by each thread. */
struct simt_closure {
    void *object; /* owned: holds the arguments, which kernels may read */
    size_t size_bytes;
    void (*call)(void *);
    void (*destroy)(void *);
};

int simt_barrier(simt_barrier_op op, int predicate, const char *file, int line);
uint64_t simt_warp(simt_warp_op op, uint32_t mask, uint64_t value, int source, const char *file,
                   int line);
void *simt_shared(const void *tag, size_t size_bytes);
void *simt_shared_dynamic(void);
void simt_atomic(const void *p, size_t size_bytes);
void simt_fence(void);
void simt_trap(const char *file, int line);
cudaError_t simt_launch(const char *name, dim3 grid, dim3 block, size_t shared_bytes,
                        cudaStream_t stream, simt_closure closure);

/* Constant: a CUDA thread always gets its own answer, whichever fiber ran in between. */
__attribute__((const)) uint3 simt_thread_index(void);
__attribute__((const)) uint3 simt_block_index(void);
__attribute__((const)) dim3 simt_block_size(void);
__attribute__((const)) dim3 simt_grid_size(void);
__attribute__((const)) unsigned simt_lane(void);

#define threadIdx (simt_thread_index())
#define blockIdx  (simt_block_index())
#define blockDim  (simt_block_size())
#define gridDim   (simt_grid_size())
#define warpSize  32

#undef __shared__
#define __shared__ static_assert(0, "use CU_SHARED or CU_SHARED_DYNAMIC");
#define __launch_bounds__(...)
#undef __forceinline__
#define __forceinline__ inline __attribute__((always_inline))

#define CU_SHARED(type, name, shape)                                                               \
    typedef type name##_type_ shape;                                                               \
    static char name##_tag_;                                                                       \
    name##_type_ &name = *(name##_type_ *)simt_shared(&name##_tag_, sizeof(name##_type_))
#define CU_SHARED_DYNAMIC(type, name) type *name = (type *)simt_shared_dynamic()
#define CU_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                  \
    simt_launch(#kernel, (grid), (block), (shared_bytes), (stream),                                \
                simt_bind(kernel, ##__VA_ARGS__))

template <class... P, class... A>
SIMT_FRONT simt_closure simt_bind(void (*kernel)(P...), A... arguments)
{
    auto bound = [kernel, values = std::tuple<P...>(arguments...)]() {
        std::apply(kernel, values);
    };
    using Bound = decltype(bound);
    return simt_closure{new Bound(bound), sizeof(Bound),
                        [](void *object) { (*static_cast<Bound *>(object))(); },
                        [](void *object) { delete static_cast<Bound *>(object); }};
}

#include "tests/simt/simt_atomic.hh"
#include "tests/simt/simt_math.hh"
#include "tests/simt/simt_warp.hh"

#endif
