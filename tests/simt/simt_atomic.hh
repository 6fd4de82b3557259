/* Atomics and fences of the front; simt.h includes it. */
#ifndef MIXT_TESTS_SIMT_SIMT_ATOMIC_HH
#define MIXT_TESTS_SIMT_SIMT_ATOMIC_HH

/* simt_atomic() checks the address, and may let others run first. What follows it cannot be
 * interrupted, since fibers share one processor. */
#define SIMT_UPDATE(name, type, new_value)                                                         \
    static inline SIMT_FRONT type name(type *p, type value)                                        \
    {                                                                                              \
        simt_atomic(p, sizeof(*p));                                                                \
        const type old = *p;                                                                       \
        *p = (new_value);                                                                          \
        return old;                                                                                \
    }
#define SIMT_COMPARE_AND_SWAP(type)                                                                \
    static inline SIMT_FRONT type atomicCAS(type *p, type compare, type value)                     \
    {                                                                                              \
        simt_atomic(p, sizeof(*p));                                                                \
        const type old = *p;                                                                       \
        *p = old == compare ? value : old;                                                         \
        return old;                                                                                \
    }
#define SIMT_UPDATE_BITS(type)                                                                     \
    SIMT_UPDATE(atomicMin, type, value < old ? value : old)                                        \
    SIMT_UPDATE(atomicMax, type, value > old ? value : old)                                        \
    SIMT_UPDATE(atomicAnd, type, old &value)                                                       \
    SIMT_UPDATE(atomicOr, type, old | value)                                                       \
    SIMT_UPDATE(atomicXor, type, old ^ value)                                                      \
    SIMT_UPDATE(atomicExch, type, (void(old), value))                                              \
    SIMT_COMPARE_AND_SWAP(type)

SIMT_UPDATE_BITS(int)
SIMT_UPDATE_BITS(unsigned)
SIMT_UPDATE_BITS(unsigned long long)
SIMT_UPDATE(atomicExch, float, (void(old), value))
SIMT_UPDATE(atomicAdd, int, (int)((unsigned)old + (unsigned)value))
SIMT_UPDATE(atomicAdd, unsigned, old + value)
SIMT_UPDATE(atomicAdd, unsigned long long, old + value)
SIMT_UPDATE(atomicAdd, float, old + value)
SIMT_UPDATE(atomicAdd, double, old + value)
SIMT_UPDATE(atomicSub, int, (int)((unsigned)old - (unsigned)value))
SIMT_UPDATE(atomicSub, unsigned, old - value)
SIMT_UPDATE(atomicInc, unsigned, old >= value ? 0 : old + 1)
SIMT_UPDATE(atomicDec, unsigned, old == 0 || old > value ? value : old - 1)

#define __threadfence()        simt_fence()
#define __threadfence_block()  simt_fence()
#define __threadfence_system() simt_fence()

#endif
