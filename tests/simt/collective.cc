/* Barriers of a block, and the calls that the lanes of a warp make together. */
#include <algorithm>

#include "tests/simt/machine.hh"

namespace simt
{

static uint64_t barrier_result(const block *b, int op)
{
    switch (op) {
    case SIMT_BARRIER_OR:
        return (uint64_t)b->any;
    case SIMT_BARRIER_AND:
        return (uint64_t)b->all;
    default:
        return (uint64_t)b->count;
    }
}

static void barrier_release(block *b)
{
    if (b->is_mixed)
        report("divergent barrier: threads of a block met at different __syncthreads, line %d "
               "and others",
               b->line);
    if (b->n_exited)
        report("barrier after exit: %u threads had returned before __syncthreads at line %d",
               b->n_exited, b->line);
    if (is_checking)
        checker_barrier(b);
    for (thread &t : b->threads) {
        if (t.state != thread_state::at_barrier)
            continue;
        t.result = barrier_result(b, t.op);
        make_ready(&t);
    }
    b->n_arrived = 0;
    b->any = b->count = 0;
    b->all = 1;
    b->is_mixed = false;
}

void barrier_check(block *b)
{
    if (b->n_arrived && b->n_arrived + b->n_exited == b->n_threads)
        barrier_release(b);
}

static void wait_at(thread *t, thread_state state, int op, const char *file, int line)
{
    t->state = state;
    t->op = (uint8_t)op;
    t->file = file;
    t->line = line;
}

/* ---- warps ---- */

static bool agree(const warp *w, uint32_t lanes)
{
    const thread *first = &w->lanes[__builtin_ctz(lanes)];
    for (uint32_t rest = lanes; rest; rest &= rest - 1) {
        const thread *t = &w->lanes[__builtin_ctz(rest)];
        if (t->mask != first->mask || t->op != first->op || t->line != first->line) {
            report("warp collective mismatch: lane %u at line %d with mask %08x, lane %u at line "
                   "%d with mask %08x",
                   first->lane, first->line, first->mask, t->lane, t->line, t->mask);
            return false;
        }
    }
    return true;
}

static uint64_t combine(int op, uint64_t a, uint64_t b)
{
    switch (op) {
    case SIMT_ADD:
        return a + b;
    case SIMT_AND:
        return a & b;
    case SIMT_OR:
        return a | b;
    case SIMT_XOR:
        return a ^ b;
    case SIMT_MIN_SIGNED:
        return (uint64_t)std::min((int64_t)a, (int64_t)b);
    case SIMT_MAX_SIGNED:
        return (uint64_t)std::max((int64_t)a, (int64_t)b);
    case SIMT_MIN_UNSIGNED:
        return std::min(a, b);
    default:
        return std::max(a, b);
    }
}

static uint64_t reduce(const warp *w, uint32_t lanes, int op)
{
    uint64_t result = w->lanes[__builtin_ctz(lanes)].value;
    for (uint32_t rest = lanes & (lanes - 1); rest; rest &= rest - 1)
        result = combine(op, result, w->lanes[__builtin_ctz(rest)].value);
    return result;
}

/* The lanes whose value is not 0, or is `value`. */
static uint32_t lanes_where(const warp *w, uint32_t lanes, bool is_match, uint64_t value)
{
    uint32_t found = 0;
    for (uint32_t rest = lanes; rest; rest &= rest - 1) {
        const int lane = __builtin_ctz(rest);
        if (is_match ? w->lanes[lane].value == value : w->lanes[lane].value != 0)
            found |= 1u << lane;
    }
    return found;
}

static uint64_t shuffled(const warp *w, uint32_t lanes, const thread *t)
{
    const uint32_t source = (uint32_t)t->source & (warp_size - 1);
    if (lanes >> source & 1)
        return w->lanes[source].value;
    report("shuffle from inactive lane: lane %u reads lane %u at line %d, which takes no part",
           t->lane, source, t->line);
    return (uint64_t)garbage << 32 | garbage;
}

static void set_results(warp *w, uint32_t lanes, int op)
{
    const uint32_t votes =
        op >= SIMT_BALLOT && op <= SIMT_ALL ? lanes_where(w, lanes, false, 0) : 0;
    const uint64_t total = op >= SIMT_ADD ? reduce(w, lanes, op) : 0;
    for (uint32_t rest = lanes; rest; rest &= rest - 1) {
        thread *t = &w->lanes[__builtin_ctz(rest)];
        switch (op) {
        case SIMT_SYNC:
            break;
        case SIMT_BALLOT:
            t->result = votes;
            break;
        case SIMT_ANY:
            t->result = votes != 0;
            break;
        case SIMT_ALL:
            t->result = votes == lanes;
            break;
        case SIMT_SHUFFLE:
            t->result = shuffled(w, lanes, t);
            break;
        case SIMT_MATCH:
            t->result = lanes_where(w, lanes, true, t->value);
            break;
        default:
            t->result = total;
        }
    }
}

static void warp_release(warp *w, uint32_t lanes)
{
    const int op = w->lanes[__builtin_ctz(lanes)].op;
    agree(w, lanes);
    set_results(w, lanes, op);
    if (is_checking && op == SIMT_SYNC)
        checker_warp_sync(w, lanes);
    w->waiting &= ~lanes;
    for (uint32_t rest = lanes; rest; rest &= rest - 1)
        make_ready(&w->lanes[__builtin_ctz(rest)]);
}

/* Releases the lanes that t waits with, if all are there: those of its mask that still run. */
static bool warp_check(warp *w, const thread *t)
{
    const uint32_t needed = t->mask & w->exists & ~w->exited;
    if ((w->waiting & needed) != needed)
        return false;
    warp_release(w, needed);
    return true;
}

void warp_lane_exited(thread *t)
{
    warp *w = t->group;
    w->exited |= 1u << t->lane;
    for (uint32_t rest = w->waiting; rest;) {
        const bool is_released = warp_check(w, &w->lanes[__builtin_ctz(rest)]);
        rest = is_released ? rest & w->waiting : rest & (rest - 1);
    }
}

} // namespace simt

int simt_barrier(simt_barrier_op op, int predicate, const char *file, int line)
{
    simt::thread *t = simt::self;
    simt::block *b = t->home;
    simt::wait_at(t, simt::thread_state::at_barrier, op, file, line);
    if (b->n_arrived++ == 0) {
        b->file = file;
        b->line = line;
    }
    b->is_mixed |= b->line != line || b->file != file;
    b->any |= predicate;
    b->all &= predicate;
    b->count += predicate;
    simt::barrier_check(b);
    simt::leave();
    return (int)t->result;
}

uint64_t simt_warp(simt_warp_op op, uint32_t mask, uint64_t value, int source, const char *file,
                   int line)
{
    simt::thread *t = simt::self;
    if (!(mask >> t->lane & 1))
        simt::report("warp mask: lane %u is not in its own mask %08x at line %d", t->lane, mask,
                     line);
    simt::wait_at(t, simt::thread_state::at_warp, op, file, line);
    t->mask = mask | 1u << t->lane;
    t->value = value;
    t->source = source;
    t->group->waiting |= 1u << t->lane;
    simt::warp_check(t->group, t);
    simt::leave();
    return t->result;
}
