/* The cells of an LSTM, apart from its products. Gates stand in the order i f g o. */
#include "backend/cuda/device.h"

struct cell {
    float i, f, g, o, c;
};

__device__ __forceinline__ struct cell cell_of(float i, float f, float g, float o, float before)
{
    struct cell cell = {sigmoid(i), sigmoid(f), tanhf(g), sigmoid(o), 0};
    cell.c = cell.f * before + cell.i * cell.g;
    return cell;
}

/* Threads walk along the cells of a row. Reads 20 bytes a cell and writes 24. */
__global__ void lstm_cell_kernel(float *gates, float *cells, float *hidden, const float *before,
                                 int64_t rows, int64_t n_h)
{
    for (int64_t n = first_row(); n < rows; n += row_step())
        for (int64_t h = threadIdx.x; h < n_h; h += blockDim.x) {
            float *gate = gates + n * 4 * n_h + h;
            const struct cell cell = cell_of(gate[0], gate[n_h], gate[2 * n_h], gate[3 * n_h],
                                             before ? before[n * n_h + h] : 0);
            gate[0] = cell.i;
            gate[n_h] = cell.f;
            gate[2 * n_h] = cell.g;
            gate[3 * n_h] = cell.o;
            cells[n * n_h + h] = cell.c;
            hidden[n * n_h + h] = cell.o * tanhf(cell.c);
        }
}

extern "C" cudaError_t launch_lstm_cell(cudaStream_t stream, float *gates, float *cells,
                                        float *hidden, const float *before, int64_t rows,
                                        int64_t n_h)
{
    if (rows == 0 || n_h == 0)
        return cudaSuccess;
    const dim3 block = row_block(n_h);
    return CU_LAUNCH(lstm_cell_kernel, grid_of(rows, block.y), block, 0, stream, gates, cells,
                     hidden, before, rows, n_h);
}

/* The same of rows that may be shared. Reads 36 bytes a cell and writes 8. */
__global__ void lstm_step_kernel(float *cells, float *hidden, struct step_rows step, int64_t rows,
                                 int64_t n_h)
{
    for (int64_t n = first_row(); n < rows; n += row_step()) {
        const int64_t x_row = step.input_rows ? step.input_rows[n] : n;
        const int64_t r_row = step.recurrent_rows ? step.recurrent_rows[n] : n;
        const int64_t c_row = step.before_rows ? step.before_rows[n] : n;
        for (int64_t h = threadIdx.x; h < n_h; h += blockDim.x) {
            const float *x = step.inputs + x_row * 4 * n_h + h;
            const float *r = step.recurrent + r_row * 4 * n_h + h;
            const struct cell cell = cell_of(x[0] + r[0], x[n_h] + r[n_h], x[2 * n_h] + r[2 * n_h],
                                             x[3 * n_h] + r[3 * n_h], step.before[c_row * n_h + h]);
            cells[n * n_h + h] = cell.c;
            hidden[n * n_h + h] = cell.o * tanhf(cell.c);
        }
    }
}

extern "C" cudaError_t launch_lstm_step_cell(cudaStream_t stream, float *cells, float *hidden,
                                             struct step_rows step, int64_t rows, int64_t n_h)
{
    if (rows == 0 || n_h == 0)
        return cudaSuccess;
    const dim3 block = row_block(n_h);
    return CU_LAUNCH(lstm_step_kernel, grid_of(rows, block.y), block, 0, stream, cells, hidden,
                     step, rows, n_h);
}

/* Threads walk along the cells of a row. Reads 32 bytes a cell and writes 20. */
__global__ void lstm_cell_backward_kernel(float *gates, float *d_cells, const float *cells,
                                          const float *before, const float *d_hidden, int64_t rows,
                                          int64_t n_h)
{
    for (int64_t n = first_row(); n < rows; n += row_step())
        for (int64_t h = threadIdx.x; h < n_h; h += blockDim.x) {
            float *gate = gates + n * 4 * n_h + h;
            const int64_t at = n * n_h + h;
            const float i = gate[0], f = gate[n_h], g = gate[2 * n_h], o = gate[3 * n_h];
            const float squashed = tanhf(cells[at]), d_m = d_hidden[at];
            const float d_c = d_cells[at] + d_m * o * (1 - squashed * squashed);
            gate[0] = d_c * g * i * (1 - i);
            gate[n_h] = before ? d_c * before[at] * f * (1 - f) : 0;
            gate[2 * n_h] = d_c * i * (1 - g * g);
            gate[3 * n_h] = d_m * squashed * o * (1 - o);
            d_cells[at] = d_c * f;
        }
}

extern "C" cudaError_t launch_lstm_cell_backward(cudaStream_t stream, float *gates, float *d_cells,
                                                 const float *cells, const float *before,
                                                 const float *d_hidden, int64_t rows, int64_t n_h)
{
    if (rows == 0 || n_h == 0)
        return cudaSuccess;
    const dim3 block = row_block(n_h);
    return CU_LAUNCH(lstm_cell_backward_kernel, grid_of(rows, block.y), block, 0, stream, gates,
                     d_cells, cells, before, d_hidden, rows, n_h);
}
