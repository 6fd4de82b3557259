/* Runs the threads of a kernel, one at a time, in random order.
 *
 * Fibers are workers: one takes a thread, runs it to its end and takes the next. Only a thread that
 * waits keeps its worker, so that a kernel without barriers runs on a single stack. */
#include <string.h>

#include <algorithm>
#include <numeric>

#include "tests/simt/heap.hh"
#include "tests/simt/machine.hh"

namespace simt
{

thread *self;
const launch *running;

constexpr uint32_t max_resident = 4; /* blocks that run interleaved */

static fiber host;
static fiber *current = &host;
static auto &idle_fibers = *new std::vector<fiber *>;
static auto &ready_queue = *new std::vector<thread *>;
static uint32_t window; /* of the newest ready threads, one runs next */
static uint32_t preempt_one_in;
static long steps_left; /* of the running kernel: accesses, atomics, waits; 0: no bound */
static auto *const blocks = new block[max_resident];
static auto &block_order = *new std::vector<uint32_t>;
static size_t n_blocks_started, n_blocks_done;

void make_ready(thread *t)
{
    t->state = thread_state::ready;
    ready_queue.push_back(t);
}

static thread *pick()
{
    const size_t n = ready_queue.size();
    if (n == 0)
        return nullptr;
    const size_t i = n - 1 - random_below((uint32_t)std::min<size_t>(n, window));
    thread *t = ready_queue[i];
    ready_queue[i] = ready_queue[n - 1];
    ready_queue.pop_back();
    return t;
}

static void worker();

static fiber *take_fiber()
{
    if (idle_fibers.empty())
        return fiber_new(worker);
    fiber *taken = idle_fibers.back();
    idle_fibers.pop_back();
    return taken;
}

/* Goes on with some ready thread, or with the host when there is none. `is_idle`: the calling fiber
 * has no thread any more, and returns from here when it has got another. */
static void go_on(bool is_idle)
{
    fiber *here = current;
    self = pick();
    if (self && !self->carrier)
        self->carrier = is_idle ? here : take_fiber();
    fiber *next = self ? self->carrier : &host;
    if (next == here)
        return;
    if (is_idle)
        idle_fibers.push_back(here);
    if (here == &host)
        host.stack = nullptr; /* of another of the host's threads than the last time, maybe */
    current = next;
    fiber_switch(here, next);
}

static void count_step()
{
    if (steps_left && --steps_left == 0)
        die(("a kernel has no end: " + running->name).c_str());
}

void leave()
{
    count_step();
    go_on(false);
}

void perhaps_leave()
{
    count_step();
    if (!preempt_one_in || random_below(preempt_one_in))
        return;
    make_ready(self);
    leave();
}

static uint3 position(uint32_t number, dim3 size)
{
    return uint3{number % size.x, number / size.x % size.y, number / size.x / size.y};
}

static void thread_init(thread *t, block *b, uint32_t number)
{
    t->index = position(number, running->block_size);
    t->home = b;
    t->group = &b->warps[number / warp_size];
    t->carrier = nullptr;
    t->lane = (uint8_t)(number % warp_size);
    t->number = (uint16_t)number;
    t->clock = 0;
    make_ready(t);
}

static void warps_init(block *b)
{
    b->warps.resize((b->n_threads + warp_size - 1) / warp_size);
    for (uint32_t i = 0; i < b->warps.size(); i++) {
        warp *w = &b->warps[i];
        const uint32_t n_lanes = std::min(warp_size, b->n_threads - i * warp_size);
        w->lanes = &b->threads[i * warp_size];
        w->exists = n_lanes == warp_size ? 0xffffffffu : (1u << n_lanes) - 1;
        w->exited = w->waiting = w->seen = w->partial = 0;
    }
}

/* Puts the next block of the grid in the place of `b`. */
static void block_start(block *b)
{
    b->number = block_order[n_blocks_started++];
    b->index = position(b->number, running->grid);
    const dim3 size = running->block_size;
    b->n_threads = size.x * size.y * size.z;
    b->n_arrived = b->n_exited = b->seen = b->clock = 0;
    b->any = b->count = 0;
    b->all = 1;
    b->is_mixed = false;
    b->threads.resize(b->n_threads);
    warps_init(b);
    shared_begin(b, running->shared_bytes);
    for (uint32_t i = 0; i < b->n_threads; i++)
        thread_init(&b->threads[i], b, i);
}

static void block_finish(block *b)
{
    shared_end(b);
    n_blocks_done++;
    if (n_blocks_started < block_order.size())
        block_start(b);
}

static void thread_finish(thread *t)
{
    block *b = t->home;
    t->state = thread_state::done;
    b->n_exited++;
    warp_lane_exited(t);
    if (b->n_exited == b->n_threads)
        block_finish(b);
    else
        barrier_check(b);
}

static void worker()
{
    fiber_entered();
    for (;;) {
        running->closure.call(running->closure.object);
        thread_finish(self);
        go_on(true);
    }
}

/* What the waiting threads of a stuck kernel wait for; their fibers start afresh. */
static void report_deadlock()
{
    bool is_told = false;
    for (uint32_t i = 0; i < max_resident; i++) {
        block &b = blocks[i];
        for (thread &t : b.threads) {
            if (t.state == thread_state::done || !t.carrier || t.carrier == &host)
                continue;
            self = &t;
            if (!is_told)
                report("deadlock: %s at line %d never completes (mask %08x)",
                       t.state == thread_state::at_barrier ? "__syncthreads" : "warp call", t.line,
                       t.mask);
            is_told = true;
            fiber_restart(t.carrier, worker);
            idle_fibers.push_back(t.carrier);
            t.state = thread_state::done;
        }
        shared_end(&b);
    }
    self = nullptr;
}

/* Most launches keep to the newest ready threads, which are in the cache, some mix all of them. */
static void choose_order(const launch &kernel)
{
    window = random_below(4) ? warp_size : UINT32_MAX;
    preempt_one_in = is_checking ? (uint32_t)option("SIMT_PREEMPT", 64) : 16;
    block_order.resize((size_t)kernel.grid.x * kernel.grid.y * kernel.grid.z);
    std::iota(block_order.begin(), block_order.end(), 0);
    for (size_t i = block_order.size(); i > 1; i--)
        std::swap(block_order[i - 1], block_order[random_below((uint32_t)i)]);
}

void kernel_run(launch &kernel)
{
    running = &kernel;
    steps_left = option("SIMT_STEPS", 0);
    choose_order(kernel);
    checker_kernel_begin(kernel);
    n_blocks_started = n_blocks_done = 0;
    const uint32_t n_resident = 1 + random_below(max_resident);
    for (uint32_t i = 0; i < n_resident && n_blocks_started < block_order.size(); i++)
        block_start(&blocks[i]);
    go_on(false);
    if (n_blocks_done < block_order.size())
        report_deadlock();
    running = nullptr;
}

} // namespace simt

uint3 simt_thread_index(void)
{
    return simt::self->index;
}

uint3 simt_block_index(void)
{
    return simt::self->home->index;
}

dim3 simt_block_size(void)
{
    return simt::running->block_size;
}

dim3 simt_grid_size(void)
{
    return simt::running->grid;
}

unsigned simt_lane(void)
{
    return simt::self->lane;
}

void simt_fence(void)
{
    simt::perhaps_leave();
}

void simt_atomic(const void *p, size_t size_bytes)
{
    simt::perhaps_leave();
    if (is_checking)
        simt::check_access(p, size_bytes, true, true);
}

void simt_trap(const char *file, int line)
{
    simt::report("__trap() at %s:%d", file, line);
}
