/* Errors of the runtime: the last one, the planned ones, and the lock round every entry point. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/simt/stream.hh"

namespace simt
{

static std::recursive_mutex lock;
static thread_local cudaError_t last_error;
static thread_local int chosen_device;

entry::entry()
{
    lock.lock();
    heap_init();
}

entry::~entry()
{
    lock.unlock();
}

/* Another host thread may have to enqueue what the calling one waits for. */
void unlock_for_a_while()
{
    const struct timespec pause = {0, 20000};
    lock.unlock();
    nanosleep(&pause, nullptr);
    lock.lock();
}

int &current_device()
{
    return chosen_device;
}

cudaError_t keep(cudaError_t error)
{
    if (error != cudaSuccess && error != cudaErrorNotReady)
        last_error = error;
    return error;
}

/* ---- failure of the n-th call ---- */

static long n_calls;
static long calls_left; /* until the planned failure; 0: none is planned */
static char failing_library[16];
static bool has_failed; /* and SIMT_FAIL_STICKY wants the rest to fail, too */

static void read_plan()
{
    static bool is_read;
    if (is_read)
        return;
    is_read = true;
    if (calls_left == 0 && option("SIMT_FAIL_CALL", 0) > 0)
        simt_fail_call(option("SIMT_FAIL_CALL", 0), getenv("SIMT_FAIL_LIBRARY"));
}

cudaError_t planned_failure(cudaError_t error)
{
    if (option("SIMT_NO_DRIVER", 0))
        return cudaErrorInsufficientDriver;
    if (n_devices() == 0)
        return cudaErrorNoDevice;
    if (!simt_fail_now("cudart"))
        return cudaSuccess;
    return has_failed ? cudaErrorIllegalAddress : error;
}

} // namespace simt

using namespace simt;

bool simt_fail_now(const char *library)
{
    entry locked;
    read_plan();
    n_calls++;
    if (has_failed)
        return true;
    if (calls_left == 0 || (failing_library[0] && strcmp(failing_library, library) != 0))
        return false;
    if (--calls_left > 0)
        return false;
    has_failed = option("SIMT_FAIL_STICKY", 0) != 0;
    return true;
}

void simt_fail_call(long n, const char *library)
{
    entry locked;
    calls_left = n;
    has_failed = false;
    snprintf(failing_library, sizeof(failing_library), "%s", library ? library : "");
}

long simt_call_count(void)
{
    return n_calls;
}

/* ---- cudart ---- */

struct error_text {
    cudaError_t error;
    const char *name, *text;
};

#define SIMT_ERROR(name, text)                                                                     \
    {                                                                                              \
        name, #name, text                                                                          \
    }
static const error_text error_texts[] = {
    SIMT_ERROR(cudaSuccess, "no error"),
    SIMT_ERROR(cudaErrorInvalidValue, "invalid argument"),
    SIMT_ERROR(cudaErrorMemoryAllocation, "out of memory"),
    SIMT_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    SIMT_ERROR(cudaErrorInvalidPitchValue, "invalid pitch argument"),
    SIMT_ERROR(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
    SIMT_ERROR(cudaErrorInsufficientDriver,
               "CUDA driver version is insufficient for CUDA runtime version"),
    SIMT_ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    SIMT_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    SIMT_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    SIMT_ERROR(cudaErrorNotReady, "device not ready"),
    SIMT_ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    SIMT_ERROR(cudaErrorPeerAccessAlreadyEnabled, "peer access is already enabled"),
    SIMT_ERROR(cudaErrorPeerAccessNotEnabled, "peer access has not been enabled"),
    SIMT_ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    SIMT_ERROR(cudaErrorNotSupported, "operation not supported"),
    SIMT_ERROR(cudaErrorStreamCaptureUnsupported,
               "operation not permitted when stream is capturing"),
    SIMT_ERROR(cudaErrorStreamCaptureInvalidated,
               "operation failed due to a previous error during capture"),
    SIMT_ERROR(cudaErrorStreamCaptureUnmatched, "capture was not initiated in this stream"),
    SIMT_ERROR(cudaErrorStreamCaptureIsolation,
               "dependency created on uncaptured work in another stream"),
    SIMT_ERROR(cudaErrorStreamCaptureImplicit,
               "operation would make the legacy stream depend on a capturing blocking stream"),
    SIMT_ERROR(cudaErrorCapturedEvent,
               "operation not permitted on an event last recorded in a capturing stream"),
    SIMT_ERROR(cudaErrorGraphExecUpdateFailure,
               "the graph update was not performed because it included changes which violated "
               "constraints specific to instantiated graph update"),
    SIMT_ERROR(cudaErrorUnknown, "unknown error"),
};

static const error_text *find_text(cudaError_t error)
{
    for (const error_text &each : error_texts)
        if (each.error == error)
            return &each;
    return nullptr;
}

extern "C" {

const char *cudaGetErrorName(cudaError_t error)
{
    const error_text *found = find_text(error);
    return found ? found->name : "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error)
{
    const error_text *found = find_text(error);
    return found ? found->text : "unrecognized error code";
}

/* A fault of the device stays; other errors are forgotten. */
cudaError_t cudaGetLastError(void)
{
    const cudaError_t error = has_failed ? cudaErrorIllegalAddress : last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void)
{
    return has_failed ? cudaErrorIllegalAddress : last_error;
}
}
