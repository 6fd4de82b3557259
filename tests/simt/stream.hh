/* Lazy streams: work waits in queues until something waits for it; then the order among streams is
 * random, within what events allow. */
#ifndef MIXT_TESTS_SIMT_STREAM_HH
#define MIXT_TESTS_SIMT_STREAM_HH

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "tests/simt/heap.hh"
#include "tests/simt/machine.hh"

namespace simt
{

/* How often an event was recorded, and how many of these are reached. */
struct event_state {
    uint64_t n_recorded = 0, n_reached = 0;
    double reached_ms = 0;
};

/* What a stream does; one copy is shared by a graph and all that run it. */
struct work {
    std::function<void(int device)> run; /* none: only the events count */
    std::function<bool()> is_ready;      /* none: always */
    std::shared_ptr<event_state> waits, records;
    uint64_t waits_for = 0, records_as = 0;
    bool is_kernel = false; /* sees its own device's memory alone */
};

struct queued {
    std::shared_ptr<const work> what;
    uint64_t number; /* order of enqueueing among all streams */
};

struct capture {
    std::vector<std::shared_ptr<const work>> items;
    CUstream_st *origin;
    cudaStreamCaptureMode mode;
    bool is_broken, is_over;
};

/* Puts work on a stream, or in its graph. */
cudaError_t enqueue(CUstream_st *stream, work item);
/* The stream that a handle names; NULL and cudaStreamLegacy: the current device's default one. */
CUstream_st *find_stream(cudaStream_t handle);
bool is_stream(cudaStream_t handle);
CUstream_st *stream_new(int device, unsigned flags, int priority);
void stream_delete(CUstream_st *stream);

/* Runs work, of any stream, until is_done(); false if nothing is left that could run before. */
bool drain(const std::function<bool()> &is_done);
void drain_stream(const CUstream_st *stream);
void drain_device(int device);
/* Runs one piece of work, if any can: so that those who poll get somewhere. */
void step();

/* Whether some capture forbids a call that waits or allocates; it is broken then. */
bool breaks_capture();
void end_capture(const std::shared_ptr<capture> &captured);

/* ---- error.cc ---- */

/* Every entry point holds one: the emulator runs for one host thread at a time. */
struct entry {
    entry();
    ~entry();
};
void unlock_for_a_while();
/* The device that the calling host thread has chosen. */
int &current_device();
/* Keeps the error for cudaGetLastError(), and returns it. */
cudaError_t keep(cudaError_t error);
/* The failure that is asked for by simt_fail_call(), or a fault that stays; else cudaSuccess. */
cudaError_t planned_failure(cudaError_t error);

/* Streams, events and graphs that exist, for the search for leaks. */
extern long n_objects;

} // namespace simt

struct CUstream_st {
    int device;
    unsigned flags;
    int priority;
    bool is_default;
    std::deque<simt::queued> queue;
    std::shared_ptr<simt::capture> capturing;
};

struct CUevent_st {
    unsigned flags;
    int device;
    std::shared_ptr<simt::event_state> state;
    std::shared_ptr<simt::capture> captured_in;
};

#endif
