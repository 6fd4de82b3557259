/* Steps behind sentences' ends. */
#include "backend/cuda/device.h"

/* One number a thread, with a stride over the grid. */
__global__ static void fill_behind(float *x, const int32_t *lengths, int64_t count, int64_t n_b,
                                   int64_t width, float value)
{
    for (int64_t i = thread_index(); i < count; i += thread_count()) {
        const int64_t row = i / width;
        if (row / n_b >= lengths[row % n_b])
            x[i] = value;
    }
}

extern "C" cudaError_t launch_fill_behind(cudaStream_t stream, float *x, const int32_t *lengths,
                                          int64_t n_t, int64_t n_b, int64_t width, float value)
{
    const int64_t count = n_t * n_b * width;
    if (count == 0)
        return cudaSuccess;
    return CU_LAUNCH(fill_behind, grid_of(count, BLOCK), BLOCK, 0, stream, x, lengths, count, n_b,
                     width, value);
}
