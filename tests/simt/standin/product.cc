/* Matrix products on emulated device memory; see product.hh. */
#include "tests/simt/standin/product.hh"

#include <math.h>
#include <string.h>

#include "tests/simt/device.h"
#include "tests/simt/standin/standin.hh"
#include "tests/simt/standin/work.hh"

size_t standin_type_bytes(cudaDataType type)
{
    switch (type) {
    case CUDA_R_64F:
        return 8;
    case CUDA_R_32F:
    case CUDA_R_32I:
        return 4;
    case CUDA_R_16BF:
        return 2;
    case CUDA_R_8I:
        return 1;
    default:
        return 0;
    }
}

static uint32_t bits_of(float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float value = 0;
    memcpy(&value, &bits, sizeof value);
    return value;
}

double standin_round_bf16(double value)
{
    const uint32_t bits = bits_of((float)value);
    if (isnan(value))
        return value;
    return float_of((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u);
}

/* As cvt.rna.tf32 does: to nearest, ties away from zero. */
static double round_tf32(double value)
{
    if (!isfinite(value))
        return value;
    return float_of((bits_of((float)value) + 0x1000) & 0xffffe000u);
}

double standin_rounded(double value, enum standin_rounding rounding)
{
    switch (rounding) {
    case STANDIN_ROUNDING_TF32:
        return round_tf32(value);
    case STANDIN_ROUNDING_BF16:
        return standin_round_bf16(value);
    default:
        return value;
    }
}

double standin_load(const void *data, cudaDataType type, int64_t index)
{
    switch (type) {
    case CUDA_R_64F:
        return static_cast<const double *>(data)[index];
    case CUDA_R_32F:
        return static_cast<const float *>(data)[index];
    case CUDA_R_16BF:
        return float_of((uint32_t) static_cast<const uint16_t *>(data)[index] << 16);
    case CUDA_R_32I:
        return static_cast<const int32_t *>(data)[index];
    default:
        return static_cast<const int8_t *>(data)[index];
    }
}

void standin_store(void *data, cudaDataType type, int64_t index, double value)
{
    switch (type) {
    case CUDA_R_64F:
        static_cast<double *>(data)[index] = value;
        break;
    case CUDA_R_32F:
        static_cast<float *>(data)[index] = (float)value;
        break;
    case CUDA_R_16BF:
        static_cast<uint16_t *>(data)[index] =
            (uint16_t)(bits_of((float)standin_round_bf16(value)) >> 16);
        break;
    case CUDA_R_32I:
        if (fabs(value) > INT32_MAX)
            standin_report("int8 product", "%.0f overflows 32 bits", value);
        static_cast<int32_t *>(data)[index] = (int32_t)(int64_t)value;
        break;
    default:
        standin_complain("product", "no output of type %d", (int)type);
    }
}

struct standin_matrix standin_column_major(const void *data, cudaDataType type, int64_t rows,
                                           int64_t cols, int64_t ld, bool transposed)
{
    if (transposed)
        return {data, type, rows, cols, ld, 1};
    return {data, type, rows, cols, 1, ld};
}

bool standin_matrix_in_device(const char *function, const char *what,
                              const struct standin_matrix *matrix)
{
    if (matrix->rows == 0 || matrix->cols == 0)
        return true;
    const size_t size = standin_type_bytes(matrix->type);
    const int64_t last =
        (matrix->rows - 1) * matrix->row_stride + (matrix->cols - 1) * matrix->col_stride;
    return standin_in_device(function, what, matrix->data, (size_t)(last + 1) * size, size);
}

bool standin_product_in_device(const struct standin_product *product)
{
    const struct standin_product *p = product;
    if (p->alpha != 0 && (!standin_matrix_in_device(p->function, "A", &p->a) ||
                          !standin_matrix_in_device(p->function, "B", &p->b)))
        return false;
    if (p->beta != 0 && !standin_matrix_in_device(p->function, "C", &p->c))
        return false;
    if (!standin_matrix_in_device(p->function, "D", &p->d))
        return false;
    if (p->d.rows && p->d.cols && (p->d.data == p->a.data || p->d.data == p->b.data)) {
        standin_report(p->function, "the result lies on an operand");
        return false;
    }
    return true;
}

/* Calls visit(data, bytes) for each run of neighbours, since what lies between rows of a larger
 * matrix is not touched. */
template <class Visit> static void for_each_line(const struct standin_matrix *matrix, Visit visit)
{
    const bool by_row = matrix->col_stride == 1;
    const int64_t lines = by_row ? matrix->rows : matrix->cols;
    const int64_t length = by_row ? matrix->cols : matrix->rows;
    const int64_t stride = by_row ? matrix->row_stride : matrix->col_stride;
    const int64_t step = by_row ? matrix->col_stride : matrix->row_stride;
    const size_t size = standin_type_bytes(matrix->type);
    char *data = (char *)const_cast<void *>(matrix->data);
    for (int64_t i = 0; i < lines; i++)
        if (step == 1)
            visit(data + (size_t)(i * stride) * size, (size_t)length * size);
        else
            for (int64_t j = 0; j < length; j++)
                visit(data + (size_t)(i * stride + j * step) * size, size);
}

/* It as doubles, row by row. */
static std::vector<double> read_matrix(const struct standin_matrix *matrix,
                                       enum standin_rounding rounding, const char *what)
{
    for_each_line(matrix,
                  [what](const void *data, size_t bytes) { simt_check_read(data, bytes, what); });
    std::vector<double> values((size_t)(matrix->rows * matrix->cols));
    for (int64_t i = 0; i < matrix->rows; i++)
        for (int64_t j = 0; j < matrix->cols; j++)
            values[(size_t)(i * matrix->cols + j)] =
                standin_rounded(standin_load(matrix->data, matrix->type,
                                             i * matrix->row_stride + j * matrix->col_stride),
                                rounding);
    return values;
}

static void write_matrix(const struct standin_matrix *matrix, const std::vector<double> &values)
{
    void *data = const_cast<void *>(matrix->data);
    for (int64_t i = 0; i < matrix->rows; i++)
        for (int64_t j = 0; j < matrix->cols; j++)
            standin_store(data, matrix->type, i * matrix->row_stride + j * matrix->col_stride,
                          values[(size_t)(i * matrix->cols + j)]);
    for_each_line(matrix, [](void *line, size_t bytes) { simt_mark_written(line, bytes); });
}

static void write_vector(void *data, cudaDataType type, const std::vector<double> &values)
{
    for (size_t i = 0; i < values.size(); i++)
        standin_store(data, type, (int64_t)i, values[i]);
    simt_mark_written(data, values.size() * standin_type_bytes(type));
}

/* alpha a b, and the sums that the epilogue wants of a and b while they are at hand. */
static std::vector<double> multiply(const struct standin_product *p)
{
    const size_t m = (size_t)p->d.rows, n = (size_t)p->d.cols, k = (size_t)p->a.cols;
    std::vector<double> d(m * n);
    if (p->alpha == 0)
        return d;
    const std::vector<double> a = read_matrix(&p->a, p->rounding, p->function);
    const std::vector<double> b = read_matrix(&p->b, p->rounding, p->function);
    for (size_t i = 0; i < m; i++)
        for (size_t l = 0; l < k; l++)
            for (size_t j = 0; j < n; j++)
                d[i * n + j] += a[i * k + l] * b[l * n + j];
    for (double &value : d)
        value *= p->alpha;
    std::vector<double> sums(p->epilogue.gradient_of_a ? m : n);
    for (size_t i = 0; i < sums.size(); i++)
        for (size_t l = 0; l < k; l++)
            sums[i] += p->epilogue.gradient_of_a ? a[i * k + l] : b[l * n + i];
    if (p->epilogue.gradient_of_a || p->epilogue.gradient_of_b)
        write_vector(p->epilogue.gradient, p->epilogue.bias_type, sums);
    return d;
}

static void add_bias(const struct standin_product *p, std::vector<double> *d)
{
    const size_t n = (size_t)p->d.cols;
    const struct standin_epilogue *e = &p->epilogue;
    simt_check_read(e->bias, (size_t)p->d.rows * standin_type_bytes(e->bias_type), p->function);
    for (size_t i = 0; i < (size_t)p->d.rows; i++)
        for (size_t j = 0; j < n; j++)
            (*d)[i * n + j] += standin_load(e->bias, e->bias_type, (int64_t)i);
}

static void write_mask(const struct standin_product *p, const std::vector<double> &d)
{
    uint8_t *mask = static_cast<uint8_t *>(p->epilogue.mask);
    const size_t bytes = (size_t)p->epilogue.mask_ld / 8;
    for (size_t j = 0; j < (size_t)p->d.cols; j++) {
        memset(mask + j * bytes, 0, bytes);
        for (size_t i = 0; i < (size_t)p->d.rows; i++)
            mask[j * bytes + i / 8] |= (uint8_t)((d[i * (size_t)p->d.cols + j] > 0) << i % 8);
        simt_mark_written(mask + j * bytes, bytes);
    }
}

static void read_mask(const struct standin_product *p, std::vector<double> *d)
{
    const uint8_t *mask = static_cast<const uint8_t *>(p->epilogue.mask);
    const size_t bytes = (size_t)p->epilogue.mask_ld / 8;
    for (size_t j = 0; j < (size_t)p->d.cols; j++) {
        simt_check_read(mask + j * bytes, ((size_t)p->d.rows + 7) / 8, p->function);
        for (size_t i = 0; i < (size_t)p->d.rows; i++)
            if (!(mask[j * bytes + i / 8] >> i % 8 & 1))
                (*d)[i * (size_t)p->d.cols + j] = 0;
    }
}

static void sum_columns(const struct standin_product *p, const std::vector<double> &d)
{
    std::vector<double> sums((size_t)p->d.rows);
    for (size_t i = 0; i < sums.size(); i++)
        for (size_t j = 0; j < (size_t)p->d.cols; j++)
            sums[i] += d[i * (size_t)p->d.cols + j];
    write_vector(p->epilogue.gradient, p->epilogue.bias_type, sums);
}

static void finish(const struct standin_product *p, std::vector<double> *d)
{
    const struct standin_epilogue *e = &p->epilogue;
    if (e->bias)
        add_bias(p, d);
    if (e->mask && e->mask_is_out)
        write_mask(p, *d);
    if (e->relu)
        for (double &value : *d)
            value = value > 0 || isnan(value) ? value : 0;
    if (e->mask && !e->mask_is_out)
        read_mask(p, d);
    if (e->gradient && !e->gradient_of_a && !e->gradient_of_b)
        sum_columns(p, *d);
}

void standin_product_run(const struct standin_product *product)
{
    const struct standin_product *p = product;
    if (p->d.rows == 0 || p->d.cols == 0)
        return;
    std::vector<double> d = multiply(p);
    if (p->beta != 0) {
        const std::vector<double> c = read_matrix(&p->c, STANDIN_ROUNDING_NONE, p->function);
        for (size_t i = 0; i < d.size(); i++)
            d[i] += p->beta * c[i];
    }
    finish(p, &d);
    write_matrix(&p->d, d);
}

struct scratch {
    void *data;
    size_t bytes;
};

static void run_products(const struct scratch *workspace, const struct standin_product *products,
                         size_t n)
{
    standin_scribble(workspace->data, workspace->bytes);
    for (size_t i = 0; i < n; i++)
        standin_product_run(&products[i]);
}

void standin_enqueue_products(cudaStream_t stream, void *workspace, size_t workspace_bytes,
                              const std::vector<struct standin_product> &products)
{
    const struct scratch scratch = {workspace, workspace_bytes};
    standin_enqueue(stream, run_products, scratch, products);
}
