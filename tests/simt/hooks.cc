/* What -fsanitize=thread makes kernels call at each access: our own functions of these names, since
 * the thread sanitizer's library is not linked. Check builds only. */
#include "tests/simt/heap.hh"
#include "tests/simt/machine.hh"

#ifdef SIMT_CHECK

namespace
{

template <bool is_write> void on_access(const void *p, size_t size_bytes)
{
    if (!simt::self)
        return;
    simt::check_access(p, size_bytes, is_write, false);
    simt::perhaps_leave();
}

template <bool is_write> void on_range(const char *p, size_t size_bytes)
{
    for (size_t i = 0; i < size_bytes; i++)
        on_access<is_write>(p + i, 1);
}

} // namespace

#    define SIMT_HOOKS(n)                                                                          \
        void __tsan_read##n(void *p)                                                               \
        {                                                                                          \
            on_access<false>(p, n);                                                                \
        }                                                                                          \
        void __tsan_write##n(void *p)                                                              \
        {                                                                                          \
            on_access<true>(p, n);                                                                 \
        }                                                                                          \
        void __tsan_read_write##n(void *p)                                                         \
        {                                                                                          \
            on_access<false>(p, n);                                                                \
            on_access<true>(p, n);                                                                 \
        }                                                                                          \
        void __tsan_unaligned_read##n(void *p)                                                     \
        {                                                                                          \
            on_access<false>(p, n);                                                                \
        }                                                                                          \
        void __tsan_unaligned_write##n(void *p)                                                    \
        {                                                                                          \
            on_access<true>(p, n);                                                                 \
        }                                                                                          \
        void __tsan_volatile_read##n(void *p)                                                      \
        {                                                                                          \
            on_access<false>(p, n);                                                                \
        }                                                                                          \
        void __tsan_volatile_write##n(void *p)                                                     \
        {                                                                                          \
            on_access<true>(p, n);                                                                 \
        }

extern "C" {
SIMT_HOOKS(1)
SIMT_HOOKS(2)
SIMT_HOOKS(4)
SIMT_HOOKS(8)
SIMT_HOOKS(16)

void __tsan_read_range(void *p, size_t size_bytes)
{
    on_range<false>((char *)p, size_bytes);
}

void __tsan_write_range(void *p, size_t size_bytes)
{
    on_range<true>((char *)p, size_bytes);
}

void *__tsan_memcpy(void *to, const void *from, size_t size_bytes)
{
    on_range<false>((const char *)from, size_bytes);
    on_range<true>((char *)to, size_bytes);
    return __builtin_memcpy(to, from, size_bytes);
}

void *__tsan_memset(void *to, int value, size_t size_bytes)
{
    on_range<true>((char *)to, size_bytes);
    return __builtin_memset(to, value, size_bytes);
}

/* What -fsanitize=alignment calls: compilers split the load of a float4, the device does not. */
struct type_mismatch {
    const char *file;
    uint32_t line, column;
    void *type;
    unsigned char log_alignment;
    unsigned char kind;
};

void __ubsan_handle_type_mismatch_v1(type_mismatch *what, uintptr_t p)
{
    simt::report("misaligned: access at %s:%u needs an address that %u divides, %s", what->file,
                 what->line, 1u << what->log_alignment, simt::heap_describe((void *)p).c_str());
}

/* What -fsanitize=bounds calls: arrays on a thread's own stack are not device memory. */
struct out_of_bounds {
    const char *file;
    uint32_t line, column;
    void *array_type, *index_type;
};

void __ubsan_handle_out_of_bounds(out_of_bounds *what, uintptr_t index)
{
    simt::report("out of bounds: index %zu of an array at %s:%u", (size_t)index, what->file,
                 what->line);
}

void __tsan_init(void)
{
}

void __tsan_func_entry(void *)
{
}

void __tsan_func_exit(void)
{
}

void __tsan_vptr_update(void **, void *)
{
}

void __tsan_vptr_read(void **)
{
}
}

#endif
