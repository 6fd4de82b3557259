/* The emulator's inside: threads, fibers, blocks, and the running kernel. */
#ifndef MIXT_TESTS_SIMT_MACHINE_HH
#define MIXT_TESTS_SIMT_MACHINE_HH

#include <cuda_runtime.h>
#include <stddef.h>
#include <stdint.h>

#include <string>
#include <vector>

#include "tests/simt/device.h"
#include "tests/simt/simt.h"

/* The front's names for what CUDA predefines; here they are plain functions. */
#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim
#undef warpSize

#ifdef SIMT_CHECK
constexpr bool is_checking = true;
#else
constexpr bool is_checking = false;
#endif

namespace simt
{

constexpr uint32_t warp_size = 32;
constexpr size_t max_block_threads = 1024;
constexpr size_t max_shared_bytes = 48 << 10;

/* What memory holds before anything is written: a NaN in f32, nonsense in every other type. */
constexpr uint32_t garbage = 0x7fc0deadu;

/* ---- option.cc ---- */
uint32_t random_bits();
uint32_t random_below(uint32_t bound);

/* ---- fiber.cc ---- */

/* A stack to run on, and where it stopped. The host's own stack is one too. */
struct fiber {
    void *stack_pointer;
    char *stack; /* lowest byte, above the guard page */
    size_t stack_bytes;
    void *fake_stack; /* the address sanitizer's */
    void *context;    /* of ucontext, where there is no assembly */
};

/* A fiber that starts in entry(), which never returns. */
fiber *fiber_new(void (*entry)());
/* Forgets what the fiber was doing: it starts in entry() again. */
void fiber_restart(fiber *f, void (*entry)());
void fiber_switch(fiber *from, fiber *to);
/* The first thing that entry() calls. */
void fiber_entered();
bool fiber_holds(const fiber *f, const void *p);
bool fiber_guards(const void *p);

/* ---- scheduler.cc ---- */

enum class thread_state : uint8_t { ready, at_barrier, at_warp, done };

struct block;
struct warp;

struct thread {
    uint3 index;
    block *home;
    warp *group;
    fiber *carrier; /* NULL before the thread's first step */
    thread_state state;
    uint8_t op; /* of the collective it waits in */
    uint8_t lane;
    uint16_t number; /* in the block */
    uint32_t mask;
    int source;
    int line;
    const char *file;
    uint64_t value;
    uint64_t result;
    uint32_t clock; /* checker: its own accesses are stamped with it */
};

struct warp {
    thread *lanes;   /* the first of up to 32 */
    uint32_t exists; /* bits of lanes */
    uint32_t exited;
    uint32_t waiting;
    uint32_t seen;    /* checker: all lanes have seen each other's accesses stamped below it */
    uint32_t partial; /* checker: lanes whose row of seen_of is valid */
    uint32_t seen_of[warp_size][warp_size];
};

struct shared_array {
    const void *tag;
    char *data;
    size_t size_bytes;
};

struct block {
    uint3 index;
    uint32_t number; /* in the grid */
    uint32_t n_threads, n_arrived, n_exited;
    bool is_mixed; /* the waiting threads came from different lines */
    int line, any, all, count;
    const char *file;
    uint32_t seen;  /* checker: as in warp, for all threads of the block */
    uint32_t clock; /* checker: the greatest stamp so far */
    char *shared;   /* this resident block's part of shared memory */
    size_t shared_bytes;
    char *dynamic;
    std::vector<shared_array> arrays;
    std::vector<thread> threads;
    std::vector<warp> warps;
};

struct launch {
    std::string name;
    dim3 grid, block_size;
    size_t shared_bytes;
    int device;
    uint32_t number; /* counts kernels since the checker last forgot everything */
    simt_closure closure;
};

extern thread *self;          /* NULL while the host runs */
extern const launch *running; /* NULL between kernels */

void kernel_run(launch &kernel);
/* Lets another thread run; `self` must be in the queue, or be waiting for what puts it there. */
void leave();
void make_ready(thread *t);
/* Now and then lets another thread run, as the hardware might. */
void perhaps_leave();

/* ---- collective.cc ---- */
void barrier_check(block *b);
void warp_lane_exited(thread *t);

/* ---- report.cc ---- */

/* Counts a misuse and prints it with the running thread. */
__attribute__((format(printf, 1, 2))) void report(const char *format, ...);
/* The same, of a host call: without a thread. Says so and ends the program. */
[[noreturn]] void die(const char *message);
void report_init();
std::string thread_name(const block *b, const thread *t);
constexpr int exit_code = 86;

/* ---- option.cc ---- */
long option(const char *name, long value);
bool option_is_set(const char *name);

/* ---- checker.cc ---- */
void checker_init();
void checker_kernel_begin(launch &kernel);
void checker_block_begin(block *b);
void checker_barrier(block *b);
void checker_warp_sync(warp *w, uint32_t mask);
void check_access(const void *p, size_t size_bytes, bool is_write, bool is_atomic);

} // namespace simt

#endif
