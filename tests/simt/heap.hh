/* Device memory: reserved address space, unreadable unless device work runs. */
#ifndef MIXT_TESTS_SIMT_HEAP_HH
#define MIXT_TESTS_SIMT_HEAP_HH

#include <stddef.h>
#include <stdint.h>

#include "tests/simt/machine.hh"

namespace simt
{

constexpr int max_devices = 16;

/* All devices' memory and then shared memory, in one piece. */
struct region {
    char *begin;
    size_t device_span; /* addresses of a device: several times its memory */
    size_t bytes;
};

struct allocation {
    size_t size_bytes;
    long number; /* counts from 1 in each process */
    int device;
};

extern region memory;

/* Also sets everything else up: the first thing that any entry point calls. */
void heap_init();
inline bool in_region(const void *p)
{
    return (uintptr_t)p - (uintptr_t)memory.begin < memory.bytes;
}
inline bool in_shared(const void *p)
{
    return in_region(p) &&
           (size_t)((const char *)p - memory.begin) >= memory.bytes - memory.device_span;
}
/* The device whose memory's addresses p is one of; only for pointers into the region. */
inline int device_at(const void *p)
{
    return (int)((size_t)((const char *)p - memory.begin) / memory.device_span);
}

int n_devices();
size_t device_memory_bytes();
size_t device_used_bytes(int device);
/* NULL when the device's memory is full. */
void *heap_new(size_t size_bytes, int device);
bool heap_free(void *p);
/* The live allocation that p points into, and where it begins; or NULL. */
const allocation *heap_find(const void *p, const char **begin);
/* "allocation 3 (4000 bytes), offset 4000", of the nearest allocation below p. */
std::string heap_describe(const void *p);

/* Opens the memory of all devices (-1), or of one and those that it may access; only while held.
 * What was opened while held is closed at the end: each change takes time that grows with the
 * memory in use, so that a batch of work is run under one hold. */
void device_open(int device);
void device_hold(bool is_held);

void shared_begin(block *b, size_t dynamic_bytes);
void shared_end(block *b);

/* Sets what the checker knows about memory: whether it exists, and has been written. */
enum class byte_state : uint8_t { none = 0, allocated = 1, written = 3 };
void mark(const void *p, size_t size_bytes, byte_state state);
/* Offset of the first byte that was never written, or size_bytes. */
size_t first_unwritten(const void *p, size_t size_bytes);
/* Copies what is known, too, as a copy from device to device does. */
void mark_copied(void *to, const void *from, size_t size_bytes);
/* What was another block's memory is now this one's. */
void forget_accesses(const void *p, size_t size_bytes);
/* Whether kernels of one device may touch the other's memory. */
bool may_access(int device, int owner);
void allow_access(int device, int owner, bool is_allowed);

} // namespace simt

#endif
