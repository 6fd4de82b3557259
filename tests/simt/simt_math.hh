/* CUDA's arithmetic that a host compiler lacks; simt.h includes it.
 *
 * The fast forms (__expf) are the exact ones here: their error cannot be seen in the emulator. */
#ifndef MIXT_TESTS_SIMT_SIMT_MATH_HH
#define MIXT_TESTS_SIMT_SIMT_MATH_HH

#define __expf(x)              expf(x)
#define __exp10f(x)            exp10f(x)
#define __logf(x)              logf(x)
#define __log2f(x)             log2f(x)
#define __log10f(x)            log10f(x)
#define __powf(x, y)           powf(x, y)
#define __sinf(x)              sinf(x)
#define __cosf(x)              cosf(x)
#define __tanf(x)              tanf(x)
#define __sincosf(x, s, c)     sincosf(x, s, c)
#define __fmaf_rn(x, y, z)     fmaf(x, y, z)
#define __fma_rn(x, y, z)      fma(x, y, z)
#define __trap()               simt_trap(__FILE__, __LINE__)
#define __builtin_assume(what) ((void)0)

template <class T> static inline T __ldg(const T *p)
{
    return *p;
}

template <class T> static inline T min(T a, T b)
{
    return b < a ? b : a;
}

template <class T> static inline T max(T a, T b)
{
    return a < b ? b : a;
}

/* The overloads of CUDA return NaN only if both are. */
static inline float min(float a, float b)
{
    return fminf(a, b);
}

static inline float max(float a, float b)
{
    return fmaxf(a, b);
}

static inline double min(double a, double b)
{
    return fmin(a, b);
}

static inline double max(double a, double b)
{
    return fmax(a, b);
}

#define SIMT_INLINE(type, name, parameters, value)                                                 \
    static inline type name parameters                                                             \
    {                                                                                              \
        return value;                                                                              \
    }

SIMT_INLINE(float, rsqrtf, (float x), 1.0f / sqrtf(x))
SIMT_INLINE(double, rsqrt, (double x), 1.0 / sqrt(x))
SIMT_INLINE(float, __saturatef, (float x), fminf(fmaxf(x, 0.0f), 1.0f))
SIMT_INLINE(float, __fdividef, (float x, float y), x / y)
SIMT_INLINE(float, __fadd_rn, (float x, float y), x + y)
SIMT_INLINE(float, __fsub_rn, (float x, float y), x - y)
SIMT_INLINE(float, __fmul_rn, (float x, float y), x *y)
SIMT_INLINE(float, __fdiv_rn, (float x, float y), x / y)
SIMT_INLINE(float, __frcp_rn, (float x), 1.0f / x)
SIMT_INLINE(float, __fsqrt_rn, (float x), sqrtf(x))
SIMT_INLINE(float, __frsqrt_rn, (float x), 1.0f / sqrtf(x))
SIMT_INLINE(double, __dadd_rn, (double x, double y), x + y)
SIMT_INLINE(double, __dmul_rn, (double x, double y), x *y)
SIMT_INLINE(float, __int2float_rn, (int x), (float)x)
SIMT_INLINE(float, __uint2float_rn, (unsigned x), (float)x)
SIMT_INLINE(float, __double2float_rn, (double x), (float)x)
SIMT_INLINE(int, __popc, (unsigned x), __builtin_popcount(x))
SIMT_INLINE(int, __popcll, (unsigned long long x), __builtin_popcountll(x))
SIMT_INLINE(int, __ffs, (int x), __builtin_ffs(x))
SIMT_INLINE(int, __ffsll, (long long x), __builtin_ffsll(x))
SIMT_INLINE(int, __clz, (int x), x ? __builtin_clz((unsigned)x) : 32)
SIMT_INLINE(int, __clzll, (long long x), x ? __builtin_clzll((unsigned long long)x) : 64)
SIMT_INLINE(int, __mulhi, (int x, int y), (int)((long long)x *y >> 32))
SIMT_INLINE(unsigned, __umulhi, (unsigned x, unsigned y), (unsigned)((uint64_t)x *y >> 32))
SIMT_INLINE(unsigned long long, __umul64hi, (unsigned long long x, unsigned long long y),
            (unsigned long long)((unsigned __int128)x *y >> 64))

/* A float beyond the int's range becomes the int nearest to it, and NaN 0, as on the device. */
static inline int simt_to_int(float x)
{
    if (x != x)
        return 0;
    return x >= 2147483648.0f ? INT32_MAX : x <= -2147483648.0f ? INT32_MIN : (int)x;
}

SIMT_INLINE(int, __float2int_rn, (float x), simt_to_int(rintf(x)))
SIMT_INLINE(int, __float2int_rz, (float x), simt_to_int(truncf(x)))
SIMT_INLINE(int, __float2int_rd, (float x), simt_to_int(floorf(x)))
SIMT_INLINE(int, __float2int_ru, (float x), simt_to_int(ceilf(x)))

static inline unsigned __brev(unsigned x)
{
    unsigned reversed = 0;
    for (int i = 0; i < 32; i++)
        reversed |= (x >> i & 1u) << (31 - i);
    return reversed;
}

template <class To, class From> static inline To simt_same_bits(From value)
{
    To result;
    static_assert(sizeof(result) == sizeof(value), "size");
    memcpy(&result, &value, sizeof(result));
    return result;
}

SIMT_INLINE(float, __int_as_float, (int x), simt_same_bits<float>(x))
SIMT_INLINE(int, __float_as_int, (float x), simt_same_bits<int>(x))
SIMT_INLINE(float, __uint_as_float, (unsigned x), simt_same_bits<float>(x))
SIMT_INLINE(unsigned, __float_as_uint, (float x), simt_same_bits<unsigned>(x))
SIMT_INLINE(double, __longlong_as_double, (long long x), simt_same_bits<double>(x))
SIMT_INLINE(long long, __double_as_longlong, (double x), simt_same_bits<long long>(x))

/* Sums of four products of bytes: of signed ones, and of unsigned ones. */
static inline int __dp4a(int a, int b, int c)
{
    for (int i = 0; i < 32; i += 8)
        c += (int8_t)(a >> i) * (int8_t)(b >> i);
    return c;
}

static inline unsigned __dp4a(unsigned a, unsigned b, unsigned c)
{
    for (int i = 0; i < 32; i += 8)
        c += (a >> i & 0xffu) * (b >> i & 0xffu);
    return c;
}

static inline int __dp4a(char4 a, char4 b, int c)
{
    return __dp4a(simt_same_bits<int>(a), simt_same_bits<int>(b), c);
}

#endif
