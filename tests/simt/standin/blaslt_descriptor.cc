/* Stand-in of cuBLASLt: handles and descriptors.
 *
 * Each attribute that is set also goes to the real library's descriptor, which knows the numbers
 * and sizes of attributes without a device. */
#include "tests/simt/standin/blaslt.hh"

#include <string.h>

#include <string>

#include "tests/simt/device.h"
#include "tests/simt/standin/standin.hh"

/* An attribute that the stand-in knows, and what it is until set. */
struct attribute {
    int number;
    size_t bytes;
    bool is_signed;
    int64_t initial;
};

struct blaslt_kind {
    const char *name; /* as in the names of its functions */
    const struct attribute *attributes;
    int count;
};

/* clang-format off */
static const struct attribute desc_attributes[] = {
    {CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, 4, true, 0},
    {CUBLASLT_MATMUL_DESC_SCALE_TYPE, 4, true, 0},
    {CUBLASLT_MATMUL_DESC_POINTER_MODE, 4, true, CUBLASLT_POINTER_MODE_HOST},
    {CUBLASLT_MATMUL_DESC_TRANSA, 4, true, CUBLAS_OP_N},
    {CUBLASLT_MATMUL_DESC_TRANSB, 4, true, CUBLAS_OP_N},
    {CUBLASLT_MATMUL_DESC_TRANSC, 4, true, CUBLAS_OP_N},
    {CUBLASLT_MATMUL_DESC_FILL_MODE, 4, true, CUBLAS_FILL_MODE_FULL},
    {CUBLASLT_MATMUL_DESC_EPILOGUE, 4, false, CUBLASLT_EPILOGUE_DEFAULT},
    {CUBLASLT_MATMUL_DESC_BIAS_POINTER, 8, false, 0},
    {CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, 8, true, 0},
    {CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, 8, false, 0},
    {CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, 8, true, 0},
    {CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, 8, true, 0},
    {CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, 4, true, 0},
    {CUBLASLT_MATMUL_DESC_FAST_ACCUM, 1, true, 0},
    {CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, 4, true, -1},
};
static const struct attribute layout_attributes[] = {
    {CUBLASLT_MATRIX_LAYOUT_TYPE, 4, false, 0},
    {CUBLASLT_MATRIX_LAYOUT_ORDER, 4, true, CUBLASLT_ORDER_COL},
    {CUBLASLT_MATRIX_LAYOUT_ROWS, 8, false, 0},
    {CUBLASLT_MATRIX_LAYOUT_COLS, 8, false, 0},
    {CUBLASLT_MATRIX_LAYOUT_LD, 8, true, 0},
    {CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, 4, true, 1},
    {CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, 8, true, 0},
};
static const struct attribute preference_attributes[] = {
    {CUBLASLT_MATMUL_PREF_SEARCH_MODE, 4, false, CUBLASLT_SEARCH_BEST_FIT},
    {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, 8, false, 0},
    {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, 4, false, CUBLASLT_REDUCTION_SCHEME_MASK},
    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, 4, false, 256},
    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, 4, false, 256},
    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, 4, false, 256},
    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, 4, false, 256},
    {CUBLASLT_MATMUL_PREF_MAX_WAVES_COUNT, 4, false, 0},
    {CUBLASLT_MATMUL_PREF_IMPL_MASK, 8, false, -1},
};
/* clang-format on */

#define COUNT(array) (int)(sizeof(array) / sizeof(array)[0])
static const struct blaslt_kind desc_kind = {"MatmulDesc", desc_attributes, COUNT(desc_attributes)};
static const struct blaslt_kind layout_kind = {"MatrixLayout", layout_attributes,
                                               COUNT(layout_attributes)};
static const struct blaslt_kind preference_kind = {"MatmulPreference", preference_attributes,
                                                   COUNT(preference_attributes)};

static const char library[] = "libcublasLt.so.13";
static Live<cublasLtContext> handles;
static Live<blaslt_descriptor> descriptors;

cublasStatus_t blaslt_enter(const char *function, cublasLtHandle_t handle)
{
    int device = -1;
    if (!handles.has(handle)) {
        standin_complain(function, "no handle");
        return CUBLAS_STATUS_NOT_INITIALIZED;
    }
    if (simt_fail_now("cublas"))
        return CUBLAS_STATUS_EXECUTION_FAILED;
    cudaGetDevice(&device);
    if (device == handle->device)
        return CUBLAS_STATUS_SUCCESS;
    standin_complain(function, "device %d is current, the handle was made on %d", device,
                     handle->device);
    return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    if (!handle)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (simt_fail_now("cublas"))
        return CUBLAS_STATUS_ALLOC_FAILED;
    *handle = handles.add(new cublasLtContext());
    cudaGetDevice(&(*handle)->device);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    if (!handles.remove(handle))
        return CUBLAS_STATUS_NOT_INITIALIZED;
    delete handle;
    return CUBLAS_STATUS_SUCCESS;
}

size_t cublasLtGetVersion(void)
{
    return CUBLAS_VERSION;
}

static void *real_function(const struct blaslt_kind *kind, const char *verb)
{
    return standin_real(library, (std::string("cublasLt") + kind->name + verb).c_str());
}

static struct blaslt_descriptor *make(const struct blaslt_kind *kind)
{
    struct blaslt_descriptor *descriptor = new blaslt_descriptor();
    descriptor->kind = kind;
    for (int i = 0; i < kind->count; i++)
        descriptor->attribute[kind->attributes[i].number] = (uint64_t)kind->attributes[i].initial;
    return descriptors.add(descriptor);
}

static struct blaslt_descriptor *find(const char *function, const struct blaslt_kind *kind,
                                      void *pointer)
{
    struct blaslt_descriptor *descriptor = static_cast<struct blaslt_descriptor *>(pointer);
    if (descriptors.has(descriptor) && descriptor->kind == kind)
        return descriptor;
    standin_complain(function, "%p is no %s", pointer, kind->name);
    return NULL;
}

static cublasStatus_t destroy(const char *function, const struct blaslt_kind *kind, void *pointer)
{
    if (!pointer)
        return CUBLAS_STATUS_SUCCESS;
    struct blaslt_descriptor *descriptor = find(function, kind, pointer);
    if (!descriptor)
        return CUBLAS_STATUS_INVALID_VALUE;
    typedef cublasStatus_t destroyer(void *);
    destroyer *real = (destroyer *)real_function(kind, "Destroy");
    if (descriptor->real && real)
        real(descriptor->real);
    descriptors.remove(descriptor);
    delete descriptor;
    return CUBLAS_STATUS_SUCCESS;
}

static const struct attribute *find_attribute(const struct blaslt_kind *kind, int number)
{
    for (int i = 0; i < kind->count; i++)
        if (kind->attributes[i].number == number)
            return &kind->attributes[i];
    return NULL;
}

static cublasStatus_t set(const char *function, const struct blaslt_kind *kind, void *pointer,
                          int number, const void *value, size_t bytes)
{
    typedef cublasStatus_t setter(void *, int, const void *, size_t);
    struct blaslt_descriptor *descriptor = find(function, kind, pointer);
    if (!descriptor || !value)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (simt_fail_now("cublas"))
        return CUBLAS_STATUS_INVALID_VALUE;
    setter *real = (setter *)real_function(kind, "SetAttribute");
    if (descriptor->real && real) {
        const cublasStatus_t status = real(descriptor->real, number, value, bytes);
        if (status != CUBLAS_STATUS_SUCCESS) {
            standin_complain(function, "the real library refuses attribute %d of %zu bytes", number,
                             bytes);
            return status;
        }
    }
    const struct attribute *known = find_attribute(kind, number);
    if (!known || known->bytes != bytes) {
        standin_complain(function, "no attribute %d of %zu bytes", number, bytes);
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    uint64_t stored = 0;
    memcpy(&stored, value, bytes);
    descriptor->attribute[number] = stored;
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t get(const char *function, const struct blaslt_kind *kind, void *pointer,
                          int number, void *value, size_t bytes, size_t *written)
{
    const struct blaslt_descriptor *descriptor = find(function, kind, pointer);
    const struct attribute *known = find_attribute(kind, number);
    if (!descriptor || !known || (bytes == 0 && !written) ||
        (bytes && (!value || bytes != known->bytes)))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (bytes)
        memcpy(value, &descriptor->attribute.at(number), bytes);
    if (written)
        *written = known->bytes;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *matmulDesc,
                                        cublasComputeType_t computeType, cudaDataType_t scaleType)
{
    typedef cublasStatus_t creator(void **, cublasComputeType_t, cudaDataType_t);
    if (!matmulDesc)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (simt_fail_now("cublas"))
        return CUBLAS_STATUS_ALLOC_FAILED;
    struct blaslt_descriptor *descriptor = make(&desc_kind);
    descriptor->attribute[CUBLASLT_MATMUL_DESC_COMPUTE_TYPE] = (uint64_t)computeType;
    descriptor->attribute[CUBLASLT_MATMUL_DESC_SCALE_TYPE] = (uint64_t)scaleType;
    creator *real = (creator *)real_function(&desc_kind, "Create");
    if (real)
        real(&descriptor->real, computeType, scaleType);
    *matmulDesc = reinterpret_cast<cublasLtMatmulDesc_t>(descriptor);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t matmulDesc)
{
    return destroy(__func__, &desc_kind, matmulDesc);
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t matmulDesc,
                                              cublasLtMatmulDescAttributes_t attr, const void *buf,
                                              size_t sizeInBytes)
{
    return set(__func__, &desc_kind, matmulDesc, attr, buf, sizeInBytes);
}

cublasStatus_t cublasLtMatmulDescGetAttribute(cublasLtMatmulDesc_t matmulDesc,
                                              cublasLtMatmulDescAttributes_t attr, void *buf,
                                              size_t sizeInBytes, size_t *sizeWritten)
{
    return get(__func__, &desc_kind, matmulDesc, attr, buf, sizeInBytes, sizeWritten);
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *matLayout, cudaDataType type,
                                          uint64_t rows, uint64_t cols, int64_t ld)
{
    typedef cublasStatus_t creator(void **, cudaDataType, uint64_t, uint64_t, int64_t);
    if (!matLayout)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (simt_fail_now("cublas"))
        return CUBLAS_STATUS_ALLOC_FAILED;
    struct blaslt_descriptor *descriptor = make(&layout_kind);
    descriptor->attribute[CUBLASLT_MATRIX_LAYOUT_TYPE] = (uint64_t)type;
    descriptor->attribute[CUBLASLT_MATRIX_LAYOUT_ROWS] = rows;
    descriptor->attribute[CUBLASLT_MATRIX_LAYOUT_COLS] = cols;
    descriptor->attribute[CUBLASLT_MATRIX_LAYOUT_LD] = (uint64_t)ld;
    creator *real = (creator *)real_function(&layout_kind, "Create");
    if (real)
        real(&descriptor->real, type, rows, cols, ld);
    *matLayout = reinterpret_cast<cublasLtMatrixLayout_t>(descriptor);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t matLayout)
{
    return destroy(__func__, &layout_kind, matLayout);
}

cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t matLayout,
                                                cublasLtMatrixLayoutAttribute_t attr,
                                                const void *buf, size_t sizeInBytes)
{
    return set(__func__, &layout_kind, matLayout, attr, buf, sizeInBytes);
}

cublasStatus_t cublasLtMatrixLayoutGetAttribute(cublasLtMatrixLayout_t matLayout,
                                                cublasLtMatrixLayoutAttribute_t attr, void *buf,
                                                size_t sizeInBytes, size_t *sizeWritten)
{
    return get(__func__, &layout_kind, matLayout, attr, buf, sizeInBytes, sizeWritten);
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *pref)
{
    typedef cublasStatus_t creator(void **);
    if (!pref)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (simt_fail_now("cublas"))
        return CUBLAS_STATUS_ALLOC_FAILED;
    struct blaslt_descriptor *descriptor = make(&preference_kind);
    creator *real = (creator *)real_function(&preference_kind, "Create");
    if (real)
        real(&descriptor->real);
    *pref = reinterpret_cast<cublasLtMatmulPreference_t>(descriptor);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t pref)
{
    return destroy(__func__, &preference_kind, pref);
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t pref,
                                                    cublasLtMatmulPreferenceAttributes_t attr,
                                                    const void *buf, size_t sizeInBytes)
{
    return set(__func__, &preference_kind, pref, attr, buf, sizeInBytes);
}

cublasStatus_t cublasLtMatmulPreferenceGetAttribute(cublasLtMatmulPreference_t pref,
                                                    cublasLtMatmulPreferenceAttributes_t attr,
                                                    void *buf, size_t sizeInBytes,
                                                    size_t *sizeWritten)
{
    return get(__func__, &preference_kind, pref, attr, buf, sizeInBytes, sizeWritten);
}

const struct blaslt_descriptor *blaslt_matmul_desc(const char *function, cublasLtMatmulDesc_t desc)
{
    return find(function, &desc_kind, desc);
}

const struct blaslt_descriptor *blaslt_layout(const char *function, cublasLtMatrixLayout_t layout)
{
    return find(function, &layout_kind, layout);
}

const struct blaslt_descriptor *blaslt_preference(const char *function,
                                                  cublasLtMatmulPreference_t preference)
{
    return find(function, &preference_kind, preference);
}

int64_t blaslt_int(const struct blaslt_descriptor *descriptor, int attribute)
{
    const struct attribute *known = find_attribute(descriptor->kind, attribute);
    const uint64_t value = descriptor->attribute.at(attribute);
    if (known->is_signed && known->bytes == 4)
        return (int32_t)value;
    return (int64_t)value;
}

void *blaslt_pointer(const struct blaslt_descriptor *descriptor, int attribute)
{
    return (void *)(uintptr_t)descriptor->attribute.at(attribute);
}

const char *cublasLtGetStatusName(cublasStatus_t status)
{
    return cublasGetStatusName(status);
}

const char *cublasLtGetStatusString(cublasStatus_t status)
{
    return cublasGetStatusString(status);
}
