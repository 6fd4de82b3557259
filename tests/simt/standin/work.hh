/* Work that a stand-in leaves to a stream: a function, a head and a list, in one block. */
#ifndef MIXT_TESTS_SIMT_STANDIN_WORK_HH
#define MIXT_TESTS_SIMT_STANDIN_WORK_HH

#include <cuda_runtime.h>
#include <stdlib.h>
#include <string.h>

#include <cstddef>
#include <type_traits>
#include <vector>

#include "tests/simt/device.h"

template <class Head, class Item> struct StandinWork {
    void (*run)(const Head *, const Item *, size_t);
    size_t n;
    Head head;
    /* the items follow, aligned */

    static size_t offset()
    {
        return (sizeof(StandinWork) + alignof(Item) - 1) / alignof(Item) * alignof(Item);
    }
    static void call(void *argument)
    {
        const StandinWork *work = static_cast<const StandinWork *>(argument);
        const void *items = static_cast<const char *>(argument) + offset();
        work->run(&work->head, static_cast<const Item *>(items), work->n);
    }
};

/* Puts run(head, items, n) on a stream, with copies of what is given. Both are plain data, since a
 * captured graph may run them more than once and frees them as bytes. */
template <class Head, class Item>
void standin_enqueue(cudaStream_t stream, void (*run)(const Head *, const Item *, size_t),
                     const Head &head, const std::vector<Item> &items)
{
    typedef StandinWork<Head, Item> Work;
    static_assert(std::is_trivially_copyable<Head>::value, "the head is freed as bytes");
    static_assert(std::is_trivially_copyable<Item>::value, "the items are freed as bytes");
    char *block = static_cast<char *>(malloc(Work::offset() + items.size() * sizeof(Item)));
    if (!block)
        abort();
    const Work work = {run, items.size(), head};
    memcpy(block, &work, sizeof work);
    if (!items.empty())
        memcpy(block + Work::offset(), items.data(), items.size() * sizeof(Item));
    simt_enqueue(stream, Work::call, block);
}

#endif
