/* Barriers and warp calls of the front; simt.h includes it. */
#ifndef MIXT_TESTS_SIMT_SIMT_WARP_HH
#define MIXT_TESTS_SIMT_SIMT_WARP_HH

#define __syncthreads()        ((void)simt_barrier(SIMT_BARRIER, 0, __FILE__, __LINE__))
#define __syncthreads_or(p)    simt_barrier(SIMT_BARRIER_OR, !!(p), __FILE__, __LINE__)
#define __syncthreads_and(p)   simt_barrier(SIMT_BARRIER_AND, !!(p), __FILE__, __LINE__)
#define __syncthreads_count(p) simt_barrier(SIMT_BARRIER_COUNT, !!(p), __FILE__, __LINE__)

/* Which lanes happen to run together is nothing to compute with. */
#define __activemask() static_assert(0, "__activemask is not in the subset of cu.h")

static inline void simt_sync_warp(const char *file, int line, uint32_t mask = 0xffffffffu)
{
    simt_warp(SIMT_SYNC, mask, 0, 0, file, line);
}

#define __syncwarp(...)        simt_sync_warp(__FILE__, __LINE__, ##__VA_ARGS__)

#define SIMT_VOTE(op, mask, p) simt_warp(op, mask, !!(p), 0, __FILE__, __LINE__)
#define __ballot_sync(mask, p) ((unsigned)SIMT_VOTE(SIMT_BALLOT, mask, p))
#define __any_sync(mask, p)    ((int)SIMT_VOTE(SIMT_ANY, mask, p))
#define __all_sync(mask, p)    ((int)SIMT_VOTE(SIMT_ALL, mask, p))

template <class T> static inline uint64_t simt_bits(T value)
{
    static_assert(sizeof(T) == 1 || sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8, "size");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof(value));
    return bits;
}

template <class T>
SIMT_FRONT T simt_shuffle(uint32_t mask, T value, int source, const char *file, int line)
{
    uint64_t bits = simt_warp(SIMT_SHUFFLE, mask, simt_bits(value), source, file, line);
    memcpy(&value, &bits, sizeof(value));
    return value;
}

#define __match_any_sync(mask, v)                                                                  \
    ((unsigned)simt_warp(SIMT_MATCH, mask, simt_bits(v), 0, __FILE__, __LINE__))

enum simt_shuffle_mode { SIMT_FROM, SIMT_XOR_LANE, SIMT_UP, SIMT_DOWN };

/* The lane that a shuffle reads: those outside the part of `width` lanes are the lane itself. */
static inline int simt_source(simt_shuffle_mode mode, int by, int width = 32)
{
    const int lane = (int)simt_lane(), first = lane & ~(width - 1);
    if (mode == SIMT_FROM)
        return first + (by & (width - 1));
    const int source = mode == SIMT_XOR_LANE ? lane ^ by : mode == SIMT_UP ? lane - by : lane + by;
    return source < first && mode == SIMT_UP ? lane : source >= first + width ? lane : source;
}

#define SIMT_SHUFFLE_CALL(mode, mask, v, ...)                                                      \
    simt_shuffle(mask, v, simt_source(mode, __VA_ARGS__), __FILE__, __LINE__)
#define __shfl_sync(mask, v, ...)      SIMT_SHUFFLE_CALL(SIMT_FROM, mask, v, __VA_ARGS__)
#define __shfl_xor_sync(mask, v, ...)  SIMT_SHUFFLE_CALL(SIMT_XOR_LANE, mask, v, __VA_ARGS__)
#define __shfl_up_sync(mask, v, ...)   SIMT_SHUFFLE_CALL(SIMT_UP, mask, v, __VA_ARGS__)
#define __shfl_down_sync(mask, v, ...) SIMT_SHUFFLE_CALL(SIMT_DOWN, mask, v, __VA_ARGS__)

/* CUDA has these for int and unsigned alone. */
static inline int simt_reduce(simt_warp_op op, simt_warp_op, uint32_t mask, int value,
                              const char *file, int line)
{
    return (int)simt_warp(op, mask, (uint64_t)(int64_t)value, 0, file, line);
}

static inline unsigned simt_reduce(simt_warp_op, simt_warp_op op, uint32_t mask, unsigned value,
                                   const char *file, int line)
{
    return (unsigned)simt_warp(op, mask, value, 0, file, line);
}

#define SIMT_REDUCE(op, op_unsigned, mask, v)                                                      \
    simt_reduce(op, op_unsigned, mask, v, __FILE__, __LINE__)
#define __reduce_add_sync(mask, v) SIMT_REDUCE(SIMT_ADD, SIMT_ADD, mask, v)
#define __reduce_and_sync(mask, v) SIMT_REDUCE(SIMT_AND, SIMT_AND, mask, v)
#define __reduce_or_sync(mask, v)  SIMT_REDUCE(SIMT_OR, SIMT_OR, mask, v)
#define __reduce_xor_sync(mask, v) SIMT_REDUCE(SIMT_XOR, SIMT_XOR, mask, v)
#define __reduce_min_sync(mask, v) SIMT_REDUCE(SIMT_MIN_SIGNED, SIMT_MIN_UNSIGNED, mask, v)
#define __reduce_max_sync(mask, v) SIMT_REDUCE(SIMT_MAX_SIGNED, SIMT_MAX_UNSIGNED, mask, v)

#endif
