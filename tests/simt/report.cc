/* Says what was found wrong, counts it, and turns it into the program's exit code. */
#include <dlfcn.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/simt/heap.hh"
#include "tests/simt/machine.hh"

namespace simt
{

static int n_errors;
static char last_error[512];
static long max_printed;

std::string thread_name(const block *b, const thread *t)
{
    char text[96];
    snprintf(text, sizeof(text), "block (%u,%u,%u) thread (%u,%u,%u)", b->index.x, b->index.y,
             b->index.z, t->index.x, t->index.y, t->index.z);
    return text;
}

void report(const char *format, ...)
{
    char what[320];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    std::string where = running ? " in " + running->name : "";
    if (self)
        where += ", " + thread_name(self->home, self);
    snprintf(last_error, sizeof(last_error), "%s%s", what, where.c_str());
    if (n_errors++ < max_printed)
        fprintf(stderr, "simt: %s\n", last_error);
}

void die(const char *message)
{
    fprintf(stderr, "simt: %s\n", message);
    fflush(nullptr);
    _exit(exit_code);
}

static void at_exit()
{
    const bool has_leaks = option("SIMT_LEAKS", 0) != 0;
    size_t count, size_bytes;
    simt_live_allocations(&count, &size_bytes);
    if (has_leaks && count)
        report("%zu device allocations of %zu bytes are not freed", count, size_bytes);
    if (has_leaks && simt_live_objects())
        report("%ld streams, events and graphs are not destroyed", simt_live_objects());
    if (n_errors == 0)
        return;
    fprintf(stderr, "simt: %d misuses reported\n", n_errors);
    fflush(nullptr);
    _exit(exit_code);
}

/* ---- faults ---- */

static struct sigaction old_action;

static void write_text(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return;
}

static void describe_fault(const void *p)
{
    const char *what = "touched memory that does not exist";
    if (in_region(p))
        what = running ? "touched another device's memory" : "dereferenced DEVICE memory";
    else if (fiber_guards(p))
        what = "has used up its stack";
    write_text("simt: ");
    write_text(running ? "kernel " : "HOST code ");
    write_text(running ? running->name.c_str() : "");
    write_text(running ? " " : "");
    write_text(what);
    if (in_region(p)) {
        write_text(" (");
        write_text(heap_describe(p).c_str());
        write_text(")");
    }
    if (self) {
        write_text(", ");
        write_text(thread_name(self->home, self).c_str());
    }
    write_text("\n");
}

/* Not for the emulator: a plain crash of the host program keeps its own consequences. */
static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    if (in_region(info->si_addr) || running) {
        describe_fault(info->si_addr);
        _exit(exit_code);
    }
    (void)context;
    sigaction(signal_number, &old_action, nullptr);
}

static void catch_faults()
{
    constexpr size_t stack_bytes = 64 << 10;
    stack_t stack = {};
    stack.ss_sp =
        mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack.ss_size = stack_bytes;
    sigaltstack(&stack, nullptr);
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &old_action);
}

/* A library that is closed would take the exit handler with it, and run it early. */
static void stay_loaded()
{
    Dl_info info;
    if (dladdr((void *)&n_errors, &info) && info.dli_fname)
        dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

void report_init()
{
    max_printed = option("SIMT_REPORTS", 20);
    stay_loaded();
    catch_faults();
    atexit(at_exit);
}

} // namespace simt

int simt_error_count(void)
{
    return simt::n_errors;
}

const char *simt_last_error(void)
{
    return simt::last_error;
}

void simt_clear_errors(void)
{
    simt::n_errors = 0;
    simt::last_error[0] = 0;
}

void simt_report(const char *what)
{
    simt::report("%s", what);
}
