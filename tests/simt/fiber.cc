/* Stacks, and the switch from one to another. */
#include <stdlib.h>
#include <sys/mman.h>

#include <algorithm>

#include "tests/simt/machine.hh"

#ifdef __SANITIZE_ADDRESS__
#    define SIMT_ASAN
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define SIMT_ASAN
#    endif
#endif
#ifdef SIMT_ASAN
#    include <sanitizer/asan_interface.h>
#    include <sanitizer/common_interface_defs.h>
#endif
/* SIMT_UCONTEXT: tries on this processor what others use. */
#if defined(__x86_64__) && !defined(SIMT_UCONTEXT)
#    define SIMT_ASSEMBLY
#else
#    include <ucontext.h>
#endif

namespace simt
{

constexpr size_t page_bytes = 4096;
#ifdef SIMT_ASAN
constexpr size_t stack_bytes = 128 << 10;
#else
constexpr size_t stack_bytes = 64 << 10;
#endif

/* Lowest and highest byte of any fiber's stack, with the guard pages. */
static uintptr_t stacks_begin = UINTPTR_MAX, stacks_end;

#ifdef SIMT_ASSEMBLY
extern "C" void simt_switch_stack(void **save, void *to);
asm(R"(
    .text
    .local simt_switch_stack
    .type simt_switch_stack, @function
simt_switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size simt_switch_stack, .-simt_switch_stack
)");

static void swap_stacks(fiber *from, fiber *to)
{
    simt_switch_stack(&from->stack_pointer, to->stack_pointer);
}

/* Fibers of one kernel stop at the same depth. Without a shift of their own their frames would lie
 * a power of two apart and push each other out of the cache. */
static void prepare(fiber *f, void (*entry)())
{
    const size_t shift = ((uintptr_t)f->stack / stack_bytes * 320) % 4096 & ~(size_t)63;
    void **top = (void **)(f->stack + f->stack_bytes - 64 - shift);
    *--top = nullptr;
    *--top = (void *)entry;
    for (int i = 0; i < 6; i++)
        *--top = nullptr;
    f->stack_pointer = top;
}
#else
static ucontext_t *context_of(fiber *f)
{
    if (!f->context)
        f->context = calloc(1, sizeof(ucontext_t));
    return (ucontext_t *)f->context;
}

static void swap_stacks(fiber *from, fiber *to)
{
    swapcontext(context_of(from), context_of(to));
}

static void prepare(fiber *f, void (*entry)())
{
    ucontext_t *context = context_of(f);
    getcontext(context);
    context->uc_stack.ss_sp = f->stack;
    context->uc_stack.ss_size = f->stack_bytes;
    context->uc_link = nullptr;
    makecontext(context, entry, 0);
}
#endif

fiber *fiber_new(void (*entry)())
{
    void *memory = mmap(nullptr, page_bytes + stack_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, page_bytes, PROT_NONE))
        die("no memory for the stacks of device threads");
    stacks_begin = std::min(stacks_begin, (uintptr_t)memory);
    stacks_end = std::max(stacks_end, (uintptr_t)memory + page_bytes + stack_bytes);
    auto *made = new fiber{nullptr, (char *)memory + page_bytes, stack_bytes, nullptr, nullptr};
    prepare(made, entry);
    return made;
}

void fiber_restart(fiber *f, void (*entry)())
{
#ifdef SIMT_ASAN
    ASAN_UNPOISON_MEMORY_REGION(f->stack, f->stack_bytes);
    f->fake_stack = nullptr;
#endif
    prepare(f, entry);
}

#ifdef SIMT_ASAN
/* The sanitizer wants to know the bounds of the stack that runs next; those of the host's stack it
 * tells us itself when the first fiber starts. */
static fiber *came_from;

static void tell_arrival(fiber *f)
{
    const void *bottom;
    size_t size_bytes;
    __sanitizer_finish_switch_fiber(f ? f->fake_stack : nullptr, &bottom, &size_bytes);
    if (!came_from->stack) {
        came_from->stack = (char *)bottom;
        came_from->stack_bytes = size_bytes;
    }
}

void fiber_switch(fiber *from, fiber *to)
{
    came_from = from;
    __sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->stack_bytes);
    swap_stacks(from, to);
    tell_arrival(from);
}

void fiber_entered()
{
    tell_arrival(nullptr);
}
#else
void fiber_switch(fiber *from, fiber *to)
{
    swap_stacks(from, to);
}

void fiber_entered()
{
}
#endif

bool fiber_holds(const fiber *f, const void *p)
{
    return (uintptr_t)p - (uintptr_t)f->stack < f->stack_bytes;
}

bool fiber_guards(const void *p)
{
    return (uintptr_t)p >= stacks_begin && (uintptr_t)p < stacks_end;
}

} // namespace simt
