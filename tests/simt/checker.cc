/* Knows of every byte of device memory whether it exists and was written, and of every word who has
 * touched it in the running kernel: finds misuse of memory, and races, in check builds.
 *
 * Two accesses race if they overlap, one writes, not both are atomic, and nothing orders them. Only
 * __syncthreads() (for a block) and __syncwarp() (for the lanes of its mask) order. Each thread
 * stamps its accesses with its clock; a barrier lets everyone see all stamps below a new one. */
#include <link.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>

#include "tests/simt/heap.hh"
#include "tests/simt/machine.hh"

namespace simt
{

/* Who touched a word: launch (13 bits), block (20), thread (10), clock (20), atomic (1); or 0. */
using stamp = uint64_t;
constexpr uint32_t max_launch = (1u << 13) - 2;
constexpr uint32_t max_clock = (1u << 20) - 1;

/* The last write, and two reads that no barrier has ended yet: of any two readers, one is not the
 * next writer. Which two are kept: of different blocks, else of different warps, if there are. */
struct history {
    stamp write, reads[2];
};

/* A word that was touched in parts has a history for each byte, in `parts`. */
constexpr stamp is_split = ~(stamp)0;
using split_word = history[4];

static uint8_t *states;                              /* a byte_state for each byte of the region */
static history *words;                               /* one for each 4 bytes */
static auto &parts = *new std::vector<split_word *>; /* pieces of part_piece split words */
static size_t n_parts;
constexpr size_t part_piece = 1024;
static uint32_t launch_number;

static void *reserve(size_t size_bytes)
{
    void *p = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        die("no address space for the checker; lower SIMT_MEMORY_MIB");
    return p;
}

void checker_init()
{
    if (!is_checking)
        return;
    states = (uint8_t *)reserve(memory.bytes);
    words = (history *)reserve(memory.bytes / 4 * sizeof(history));
}

static size_t offset_of(const void *p)
{
    return (size_t)((const char *)p - memory.begin);
}

void mark(const void *p, size_t size_bytes, byte_state state)
{
    if (is_checking)
        memset(states + offset_of(p), (int)state, size_bytes);
}

void mark_copied(void *to, const void *from, size_t size_bytes)
{
    if (is_checking)
        memmove(states + offset_of(to), states + offset_of(from), size_bytes);
}

size_t first_unwritten(const void *p, size_t size_bytes)
{
    if (!is_checking)
        return size_bytes;
    const uint8_t *begin = states + offset_of(p);
    const uint8_t *found = std::find_if(begin, begin + size_bytes, [](uint8_t state) {
        return state != (uint8_t)byte_state::written;
    });
    return (size_t)(found - begin);
}

void forget_accesses(const void *p, size_t size_bytes)
{
    if (is_checking)
        memset(words + offset_of(p) / 4, 0, (size_bytes + 3) / 4 * sizeof(history));
}

/* ---- order ---- */

/* Numbers run out: then all histories are forgotten at once. */
void checker_kernel_begin(launch &kernel)
{
    if (!is_checking)
        return;
    if (launch_number == max_launch) {
        madvise(words, memory.bytes / 4 * sizeof(history), MADV_DONTNEED);
        n_parts = 0;
        launch_number = 0;
    }
    kernel.number = ++launch_number;
}

void checker_barrier(block *b)
{
    b->seen = ++b->clock;
    for (thread &t : b->threads)
        t.clock = b->seen;
    for (warp &w : b->warps) {
        w.seen = b->seen;
        w.partial = 0;
    }
}

/* What lane i has seen of lane j: stamps below it. */
static uint32_t lane_has_seen(const warp *w, uint32_t i, uint32_t j)
{
    return w->partial >> i & 1 ? w->seen_of[i][j] : w->seen;
}

static void sync_some(warp *w, uint32_t mask)
{
    uint32_t joined[warp_size];
    for (uint32_t j = 0; j < warp_size; j++) {
        joined[j] = mask >> j & 1 ? w->lanes[j].clock + 1 : 0;
        for (uint32_t rest = mask; rest; rest &= rest - 1)
            joined[j] = std::max(joined[j], lane_has_seen(w, (uint32_t)__builtin_ctz(rest), j));
    }
    for (uint32_t rest = mask; rest; rest &= rest - 1) {
        const int lane = __builtin_ctz(rest);
        memcpy(w->seen_of[lane], joined, sizeof(joined));
        w->lanes[lane].clock++;
    }
    w->partial |= mask;
}

void checker_warp_sync(warp *w, uint32_t mask)
{
    block *b = w->lanes[0].home;
    uint32_t clock = 0;
    for (uint32_t rest = mask; rest; rest &= rest - 1)
        clock = std::max(clock, w->lanes[__builtin_ctz(rest)].clock + 1);
    b->clock = std::max(b->clock, clock);
    if (mask != w->exists) {
        sync_some(w, mask);
        return;
    }
    for (uint32_t rest = mask; rest; rest &= rest - 1)
        w->lanes[__builtin_ctz(rest)].clock = clock;
    w->seen = clock;
    w->partial = 0;
}

static uint32_t launch_of(stamp s)
{
    return (uint32_t)(s >> 51);
}

static uint32_t block_of(stamp s)
{
    return (uint32_t)(s >> 31) & 0xfffff;
}

static uint32_t thread_of(stamp s)
{
    return (uint32_t)(s >> 21) & 0x3ff;
}

static uint32_t clock_of(stamp s)
{
    return (uint32_t)(s >> 1) & max_clock;
}

static stamp stamp_of(const thread *t, bool is_atomic)
{
    return (stamp)running->number << 51 | (stamp)(t->home->number & 0xfffff) << 31 |
           (stamp)t->number << 21 | (stamp)std::min(t->clock, max_clock) << 1 | (stamp)is_atomic;
}

/* Whether what `s` did comes before what t does now, or is its own. */
static bool is_ordered(stamp s, const thread *t)
{
    const block *b = t->home;
    if (s == 0 || launch_of(s) != running->number)
        return true;
    if (block_of(s) != (b->number & 0xfffff))
        return false;
    const uint32_t other = thread_of(s), clock = clock_of(s);
    if (other == t->number || clock < b->seen || b->clock >= max_clock)
        return true;
    if (other / warp_size != t->number / warp_size)
        return false;
    return clock < lane_has_seen(t->group, t->lane, other % warp_size);
}

/* ---- histories ---- */

static bool is_same_warp(stamp a, stamp b)
{
    return block_of(a) == block_of(b) && thread_of(a) / warp_size == thread_of(b) / warp_size;
}

static void remember_read(history *h, stamp mine, const thread *t)
{
    for (stamp &read : h->reads) {
        if (is_ordered(read, t)) {
            read = mine;
            return;
        }
    }
    const bool is_one_block = block_of(h->reads[0]) == block_of(h->reads[1]);
    if ((is_one_block && block_of(mine) != block_of(h->reads[0])) ||
        (is_same_warp(h->reads[0], h->reads[1]) && !is_same_warp(mine, h->reads[0])))
        h->reads[1] = mine;
}

/* The stamp that the access races with, or 0; then it is remembered. */
static stamp update(history *h, const thread *t, stamp mine, bool is_write)
{
    const bool is_atomic = mine & 1;
    stamp rival = 0;
    if (!is_ordered(h->write, t) && !(is_atomic && h->write & 1))
        rival = h->write;
    for (stamp read : h->reads)
        if ((is_write || read & 1) && !(is_atomic && read & 1) && !is_ordered(read, t))
            rival = read;
    if (is_write)
        h->write = mine;
    /* Of several atomics `write` keeps the last only; the others count as reads that no plain
     * access of any kind may meet. */
    if (!is_write || is_atomic)
        remember_read(h, mine, t);
    return rival;
}

static split_word *split(history *word)
{
    if (word->write == is_split)
        return &parts[word->reads[0] / part_piece][word->reads[0] % part_piece];
    if (n_parts == parts.size() * part_piece)
        parts.push_back(new split_word[part_piece]);
    split_word *made = &parts[n_parts / part_piece][n_parts % part_piece];
    for (history &part : *made)
        part = *word;
    word->write = is_split;
    word->reads[0] = n_parts++;
    return made;
}

static stamp update_word(size_t word, uint32_t first, uint32_t n, const thread *t, stamp mine,
                         bool is_write)
{
    history *h = &words[word];
    if (n == 4 && h->write != is_split)
        return update(h, t, mine, is_write);
    split_word *split_parts = split(h);
    stamp rival = 0;
    for (uint32_t i = first; i < first + n; i++)
        rival = std::max(rival, update(&(*split_parts)[i], t, mine, is_write));
    return rival;
}

static void check_race(const void *p, size_t size_bytes, const thread *t, bool is_write,
                       bool is_atomic)
{
    const stamp mine = stamp_of(t, is_atomic);
    size_t offset = offset_of(p);
    const size_t end = offset + size_bytes;
    stamp rival = 0;
    while (offset < end) {
        const uint32_t first = offset & 3;
        const uint32_t n = (uint32_t)std::min<size_t>(4 - first, end - offset);
        const stamp found = update_word(offset / 4, first, n, t, mine, is_write);
        rival = found ? found : rival;
        offset += n;
    }
    if (rival)
        report("race: %s, %s with thread %u of block %u", is_write ? "write" : "read",
               heap_describe(p).c_str(), thread_of(rival), block_of(rival));
}

/* ---- addresses ---- */

struct range {
    uintptr_t begin, end;
};
static std::vector<range> constant_ranges;

static int add_constants(struct dl_phdr_info *info, size_t, void *)
{
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) &part = info->dlpi_phdr[i];
        const bool is_constant = part.p_type == PT_LOAD && !(part.p_flags & PF_W);
        if (is_constant || part.p_type == PT_GNU_RELRO)
            constant_ranges.push_back(range{info->dlpi_addr + part.p_vaddr,
                                            info->dlpi_addr + part.p_vaddr + part.p_memsz});
    }
    return 0;
}

static bool is_known_constant(uintptr_t p)
{
    return std::any_of(constant_ranges.begin(), constant_ranges.end(),
                       [p](const range &r) { return p >= r.begin && p < r.end; });
}

/* Tables of constants lie in the read-only parts of the program and its libraries. */
static bool is_constant(const void *p)
{
    if (is_known_constant((uintptr_t)p))
        return true;
    constant_ranges.clear();
    dl_iterate_phdr(add_constants, nullptr);
    return is_known_constant((uintptr_t)p);
}

static void check_host_access(const void *p, const thread *t, bool is_write)
{
    const uintptr_t closure = (uintptr_t)running->closure.object;
    const bool is_argument = (uintptr_t)p - closure < running->closure.size_bytes;
    if (fiber_holds(t->carrier, p) || (!is_write && (is_argument || is_constant(p))))
        return;
    report("kernel %s host memory at %p%s", is_write ? "writes" : "reads", p,
           fiber_guards(p) ? " (a local variable of another thread)" : "");
}

/* What is wrong with the bytes' states, or NULL. */
static const char *wrong_state(const uint8_t *state, size_t size_bytes, bool is_read)
{
    for (size_t i = 0; i < size_bytes; i++) {
        if (state[i] == (uint8_t)byte_state::none)
            return "out of bounds";
        if (is_read && state[i] != (uint8_t)byte_state::written)
            return "uninitialised";
    }
    return nullptr;
}

static bool is_all_written(const uint8_t *state, size_t size_bytes)
{
    constexpr uint32_t all_written = 0x01010101u * (uint8_t)byte_state::written;
    uint32_t four;
    memcpy(&four, state, sizeof(four));
    return size_bytes == sizeof(four) && four == all_written;
}

/* False if the bytes are none of the kernel's. */
static bool check_state(const void *p, size_t size_bytes, bool is_write, bool is_read)
{
    uint8_t *state = states + offset_of(p);
    if (is_all_written(state, size_bytes))
        return true;
    const char *what = wrong_state(state, size_bytes, is_read);
    if (what)
        report("%s: %s of %zu bytes, %s", what, is_write ? "write" : "read", size_bytes,
               heap_describe(p).c_str());
    if (is_write && !(what && *what == 'o'))
        memset(state, (int)byte_state::written, size_bytes);
    return !(what && *what == 'o');
}

void check_access(const void *p, size_t size_bytes, bool is_write, bool is_atomic)
{
    const thread *t = self;
    if (!t)
        return;
    if (!in_region(p)) {
        check_host_access(p, t, is_write);
        return;
    }
    if ((uintptr_t)p % size_bytes)
        report("misaligned: %s of %zu bytes, %s", is_write ? "write" : "read", size_bytes,
               heap_describe(p).c_str());
    if (!in_shared(p) && !may_access(running->device, device_at(p)))
        report("kernel of device %d touches %s", running->device, heap_describe(p).c_str());
    if (!check_state(p, size_bytes, is_write, !is_write || is_atomic))
        return;
    check_race(p, size_bytes, t, is_write, is_atomic);
}

} // namespace simt
