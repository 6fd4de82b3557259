/* Device memory: allocations with gaps between them, and the guard that keeps the host out. */
#include "tests/simt/heap.hh"

#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <map>
#include <mutex>

#if defined(__SANITIZE_ADDRESS__)
#    define SIMT_ASAN
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define SIMT_ASAN
#    endif
#endif
#ifdef SIMT_ASAN
#    include <sanitizer/asan_interface.h>
#else
#    define ASAN_POISON_MEMORY_REGION(p, n)   ((void)(p), (void)(n))
#    define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

namespace simt
{

region memory;

constexpr size_t alignment = 256;  /* what cudaMalloc promises */
constexpr size_t gap_bytes = 4096; /* at least so much lies between two allocations */
constexpr size_t huge_page_bytes = 2 << 20;
constexpr size_t filled_bytes = 64 << 20; /* of an allocation; the rest stays zero */
constexpr size_t released_bytes = 256
                                  << 10; /* a freed piece from here on goes back to the system */

static size_t memory_bytes;
static int device_count;
/* Never destroyed: a program may free its memory while it exits. */
static auto &live = *new std::map<uintptr_t, allocation>;
static size_t used_bytes[max_devices];
static uintptr_t next_free[max_devices]; /* where the search for a gap begins */
static bool has_access[max_devices][max_devices];
static bool is_guarded;
static int n_openers, n_holders;
static bool is_open[max_devices + 1]; /* the last one: shared memory */

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static void reserve()
{
    memory_bytes = (size_t)option("SIMT_MEMORY_MIB", 4096) << 20;
    device_count = (int)std::clamp(option("SIMT_DEVICES", 1), 0L, (long)max_devices);
    memory.device_span = std::max<size_t>(round_up(memory_bytes * 2, huge_page_bytes), 64 << 20);
    memory.bytes = memory.device_span * (size_t)(device_count + 1);
    void *p = mmap(nullptr, memory.bytes + huge_page_bytes, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        die("no address space for device memory");
    memory.begin = (char *)round_up((uintptr_t)p, huge_page_bytes);
    /* Opening and closing costs time for each page in use. */
    madvise(memory.begin, memory.bytes, MADV_HUGEPAGE);
    for (int i = 0; i < device_count; i++)
        next_free[i] = (uintptr_t)memory.begin + memory.device_span * (size_t)i + gap_bytes;
}

void heap_init()
{
    static std::once_flag once;
    std::call_once(once, [] {
        reserve();
        is_guarded = option("SIMT_GUARD", 1) != 0;
        if (!is_guarded)
            mprotect(memory.begin, memory.bytes, PROT_READ | PROT_WRITE);
        report_init();
        checker_init();
    });
}

int n_devices()
{
    return device_count;
}

size_t device_memory_bytes()
{
    return memory_bytes;
}

size_t device_used_bytes(int device)
{
    return used_bytes[device];
}

/* ---- the guard ---- */

static void set_open(int part, bool is_wanted)
{
    if (is_open[part] == is_wanted)
        return;
    is_open[part] = is_wanted;
    if (is_guarded)
        mprotect(memory.begin + memory.device_span * (size_t)part, memory.device_span,
                 is_wanted ? PROT_READ | PROT_WRITE : PROT_NONE);
}

void device_open(int device)
{
    for (int i = 0; i < device_count; i++)
        set_open(i, device < 0 || may_access(device, i));
    set_open(device_count, true);
}

static void close_unless_wanted()
{
    if (n_openers == 0 && n_holders == 0)
        for (int i = 0; i <= device_count; i++)
            set_open(i, false);
}

void device_hold(bool is_held)
{
    n_holders += is_held ? 1 : -1;
    close_unless_wanted();
}

bool may_access(int device, int owner)
{
    return device == owner || has_access[device][owner];
}

void allow_access(int device, int owner, bool is_allowed)
{
    has_access[device][owner] = is_allowed;
}

/* ---- allocations ---- */

/* Nothing was ever there; nobody is to see what was there before. */
static void fill_with_garbage(char *p, size_t size_bytes)
{
    size_bytes = std::min(size_bytes, filled_bytes);
    for (size_t i = 0; i + 4 <= size_bytes; i += 4)
        memcpy(p + i, &garbage, 4);
    for (size_t i = size_bytes & ~(size_t)3; i < size_bytes; i++)
        p[i] = (char)0xad;
}

/* The first gap of `wanted` bytes at or above `from`, or 0. */
static uintptr_t find_gap(uintptr_t from, uintptr_t end, size_t wanted)
{
    auto next = live.upper_bound(from);
    if (next != live.begin()) {
        auto below = std::prev(next);
        from = std::max(from,
                        below->first + round_up(below->second.size_bytes, alignment) + gap_bytes);
    }
    for (; next != live.end() && next->first < end; ++next) {
        if (next->first >= from + wanted)
            return from;
        from = next->first + round_up(next->second.size_bytes, alignment) + gap_bytes;
    }
    return from + wanted <= end ? from : 0;
}

void *heap_new(size_t size_bytes, int device)
{
    static long number;
    if (used_bytes[device] + size_bytes > memory_bytes)
        return nullptr;
    const uintptr_t begin =
        (uintptr_t)memory.begin + memory.device_span * (size_t)device + gap_bytes;
    const uintptr_t end = begin + memory.device_span - gap_bytes;
    const size_t wanted = round_up(size_bytes, alignment) + gap_bytes;
    uintptr_t p = find_gap(next_free[device], end, wanted);
    if (!p)
        p = find_gap(begin, end, wanted);
    if (!p)
        return nullptr;
    next_free[device] = p + wanted;
    live[p] = allocation{size_bytes, ++number, device};
    used_bytes[device] += size_bytes;
    simt_device_begin();
    ASAN_POISON_MEMORY_REGION((char *)p - gap_bytes, wanted + gap_bytes);
    ASAN_UNPOISON_MEMORY_REGION((char *)p, size_bytes);
    fill_with_garbage((char *)p, size_bytes);
    mark((char *)p, size_bytes, byte_state::allocated);
    simt_device_end();
    return (void *)p;
}

/* Gives memory back to the system, but no part of a huge page, which would be torn into small ones
 * and make each opening of the guard slow. */
static void release_pages(uintptr_t p, size_t size_bytes)
{
    const uintptr_t begin = round_up(p, huge_page_bytes);
    const uintptr_t end = (p + size_bytes) / huge_page_bytes * huge_page_bytes;
    if (end > begin)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
}

bool heap_free(void *p)
{
    auto found = live.find((uintptr_t)p);
    if (found == live.end())
        return false;
    const size_t size_bytes = found->second.size_bytes;
    used_bytes[found->second.device] -= size_bytes;
    live.erase(found);
    mark(p, size_bytes, byte_state::none);
    release_pages((uintptr_t)p, size_bytes);
    ASAN_POISON_MEMORY_REGION(p, size_bytes);
    return true;
}

static std::map<uintptr_t, allocation>::const_iterator nearest_below(const void *p)
{
    auto next = live.upper_bound((uintptr_t)p);
    return next == live.begin() ? live.end() : std::prev(next);
}

const allocation *heap_find(const void *p, const char **begin)
{
    auto found = nearest_below(p);
    if (found == live.end() || (uintptr_t)p - found->first >= found->second.size_bytes)
        return nullptr;
    if (begin)
        *begin = (const char *)found->first;
    return &found->second;
}

std::string heap_describe(const void *p)
{
    char text[160];
    auto found = nearest_below(p);
    if (in_shared(p))
        snprintf(text, sizeof(text), "shared memory");
    else if (found == live.end() || found->second.device != device_at(p))
        snprintf(text, sizeof(text), "device %d, before every allocation", device_at(p));
    else
        snprintf(text, sizeof(text), "device %d, allocation %ld of %zu bytes, offset %zu",
                 found->second.device, found->second.number, found->second.size_bytes,
                 (size_t)((uintptr_t)p - found->first));
    return text;
}

/* ---- shared memory ---- */

constexpr size_t shared_slot_bytes = 256 << 10;
constexpr size_t shared_gap_bytes = 256;

static char *shared_new(block *b, size_t size_bytes)
{
    char *p = b->shared + b->shared_bytes + shared_gap_bytes;
    b->shared_bytes += shared_gap_bytes + round_up(size_bytes, alignment);
    ASAN_POISON_MEMORY_REGION(p - shared_gap_bytes, size_bytes + 2 * shared_gap_bytes);
    ASAN_UNPOISON_MEMORY_REGION(p, size_bytes);
    fill_with_garbage(p, size_bytes);
    mark(p, size_bytes, byte_state::allocated);
    forget_accesses(p, size_bytes);
    return p;
}

static size_t shared_total(const block *b)
{
    size_t total = running->shared_bytes;
    for (const shared_array &array : b->arrays)
        total += array.size_bytes;
    return total;
}

void shared_begin(block *b, size_t dynamic_bytes)
{
    static block *first;
    if (!first)
        first = b;
    b->shared = memory.begin + memory.device_span * (size_t)device_count +
                shared_slot_bytes * (size_t)(b - first);
    b->shared_bytes = 0;
    b->arrays.clear();
    b->dynamic = dynamic_bytes ? shared_new(b, dynamic_bytes) : nullptr;
}

void shared_end(block *b)
{
    if (b->shared_bytes) {
        mark(b->shared, b->shared_bytes, byte_state::none);
        ASAN_POISON_MEMORY_REGION(b->shared, b->shared_bytes);
    }
    b->shared_bytes = 0;
}

} // namespace simt

void *simt_shared_dynamic(void)
{
    return simt::self->home->dynamic;
}

void *simt_shared(const void *tag, size_t size_bytes)
{
    simt::block *b = simt::self->home;
    for (const simt::shared_array &array : b->arrays)
        if (array.tag == tag)
            return array.data;
    char *data = simt::shared_new(b, size_bytes);
    b->arrays.push_back(simt::shared_array{tag, data, size_bytes});
    if (simt::shared_total(b) > simt::max_shared_bytes)
        simt::report("%zu bytes of shared memory, more than %zu", simt::shared_total(b),
                     simt::max_shared_bytes);
    return data;
}

/* ---- device.h ---- */

void simt_device_begin(void)
{
    simt::heap_init();
    if (simt::n_openers++ == 0)
        simt::device_open(-1);
}

void simt_device_end(void)
{
    simt::n_openers--;
    simt::close_unless_wanted();
}

bool simt_is_device(const void *p, size_t size_bytes)
{
    const char *begin;
    const simt::allocation *found = simt::heap_find(p, &begin);
    return found && (size_t)((const char *)p - begin) + size_bytes <= found->size_bytes;
}

int simt_device_of(const void *p)
{
    const simt::allocation *found = simt::heap_find(p, nullptr);
    return found ? found->device : -1;
}

void simt_mark_written(void *p, size_t size_bytes)
{
    if (!simt::in_region(p) || size_bytes == 0)
        return;
    if (!simt_is_device(p, size_bytes))
        simt::report("library writes %zu bytes out of bounds: %s", size_bytes,
                     simt::heap_describe(p).c_str());
    else
        simt::mark(p, size_bytes, simt::byte_state::written);
}

void simt_check_read(const void *p, size_t size_bytes, const char *what)
{
    if (!simt::in_region(p) || size_bytes == 0)
        return;
    if (!simt_is_device(p, size_bytes)) {
        simt::report("%s: reads %zu bytes out of bounds: %s", what, size_bytes,
                     simt::heap_describe(p).c_str());
        return;
    }
    const size_t offset = simt::first_unwritten(p, size_bytes);
    if (offset < size_bytes)
        simt::report("%s: uninitialised: %s", what,
                     simt::heap_describe((const char *)p + offset).c_str());
}

void simt_live_allocations(size_t *count, size_t *size_bytes)
{
    size_t total = 0;
    for (int i = 0; i < simt::max_devices; i++)
        total += simt::used_bytes[i];
    if (count)
        *count = simt::live.size();
    if (size_bytes)
        *size_bytes = total;
}
