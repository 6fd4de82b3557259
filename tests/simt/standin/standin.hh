/* What the stand-ins of NVIDIA's libraries share: complaints, checks of device memory, deferred
 * work, and the real libraries where they can judge descriptors.
 *
 * A stand-in has the ABI of the real header and does the documented thing on the CPU. Where the
 * real library would corrupt memory or fault later, it complains on stderr and returns an error at
 * once. Work runs when the emulated stream does, never in the call. */
#ifndef MIXT_TESTS_SIMT_STANDIN_STANDIN_HH
#define MIXT_TESTS_SIMT_STANDIN_STANDIN_HH

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <set>

/* Prints "standin: FUNCTION: message". */
void standin_complain(const char *function, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same, for what a real library could not notice: counts as a misuse of the emulated device. */
void standin_report(const char *function, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Whether `bytes` from p lie in one live device allocation and p is aligned; reports it if not. No
 * bytes need no memory. */
bool standin_in_device(const char *function, const char *what, const void *p, size_t bytes,
                       size_t alignment);

/* Writes what no one may rely on over a buffer that a library is free to use as scratch: its ends,
 * since all of a large one would take long. */
void standin_scribble(void *buffer, size_t bytes);

/* The same number in every run for the same seed; the seed is the environment's STANDIN_SEED. */
uint64_t standin_hash(uint64_t value);

/* A function of a real library, or NULL where the library is not installed or STANDIN_REAL=0; the
 * absence of a library is said once. */
void *standin_real(const char *library, const char *function);

/* Objects made and not yet destroyed: a handle or descriptor is valid while it is in here. */
template <class T> class Live
{
  public:
    T *add(T *object)
    {
        std::lock_guard<std::mutex> guard(mutex);
        objects.insert(object);
        return object;
    }
    bool has(const T *object)
    {
        std::lock_guard<std::mutex> guard(mutex);
        return objects.count(const_cast<T *>(object)) != 0;
    }
    /* False when it was not there: destroyed twice, or never made. */
    bool remove(T *object)
    {
        std::lock_guard<std::mutex> guard(mutex);
        return objects.erase(object) != 0;
    }

  private:
    std::mutex mutex;
    std::set<T *> objects;
};

#endif
