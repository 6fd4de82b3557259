/* Conversion to int8: the shapes of the new model are laid out, and its file is written from the
 * old one, each matrix when its turn comes. */
#include "model/convert.h"

#include <stdlib.h>
#include <string.h>

#include "backend/quantize.h"
#include "model/model_file.h"
#include "model/shards.h"

struct conversion {
    const struct safetensors *file; /* borrowed: the model in f32 */
    const char *path;
    struct model *model;       /* borrowed: that in int8, without its blocks */
    const struct param *param; /* whose matrix `group` the blocks are; NULL: none yet */
    int64_t group;
    float *values;  /* owned [largest matrix] */
    int8_t *blocks; /* owned [largest matrix] */
};

/* Sizes of the matrices that a parameter's blocks are made of. */
struct matrix_shape {
    int64_t in, out, bytes; /* as products read it; bytes of the blocks */
    bool transposed;
};

static struct matrix_shape shape_of(const struct param *param)
{
    const struct tensor *value = &param->weight.value;
    struct matrix_shape shape = {.transposed = param->forms == PACK_TRANSPOSED};
    shape.in = value->dim[value->rank - (shape.transposed ? 1 : 2)];
    shape.out = value->dim[value->rank - (shape.transposed ? 2 : 1)];
    shape.bytes = quantized_matrix_bytes(shape.in, shape.out);
    return shape;
}

/* Rounds matrix `group` of a parameter, unless it is there; its scales stay in the model. */
static enum status round_matrix(struct conversion *conversion, const struct param *param,
                                int64_t group)
{
    if (conversion->param == param && conversion->group == group)
        return STATUS_OK;
    const struct matrix_shape shape = shape_of(param);
    const uint64_t size = (uint64_t)(shape.in * shape.out) * sizeof(float);
    const enum status status =
        safetensors_read_part(conversion->file, safetensors_find(conversion->file, param->name),
                              (uint64_t)group * size, size, conversion->values);
    if (status < 0)
        return status;
    conversion->param = param;
    conversion->group = group;
    float *scales = (float *)param->weight.scales.data + group * shape.out;
    if (quantize_matrix(conversion->blocks, scales, conversion->values, shape.in, shape.out,
                        shape.transposed))
        return STATUS_OK;
    return status_set(STATUS_FORMAT, "%s: tensor '%s' has a number that is not finite",
                      conversion->path, param->name);
}

static enum status read_blocks(struct conversion *conversion, const struct param *param,
                               uint64_t offset, char *target, size_t size)
{
    const uint64_t bytes = (uint64_t)shape_of(param).bytes;
    enum status status = STATUS_OK;
    while (size > 0 && status >= 0) {
        const uint64_t start = offset % bytes;
        const size_t piece = size < bytes - start ? size : (size_t)(bytes - start);
        status = round_matrix(conversion, param, (int64_t)(offset / bytes));
        if (status >= 0)
            memcpy(target, conversion->blocks + start, piece);
        offset += piece;
        target += piece;
        size -= piece;
    }
    return status;
}

static enum status read_part(void *context, const char *name, uint64_t offset, void *target,
                             size_t size)
{
    struct conversion *conversion = context;
    const struct param *param = param_find_part(&conversion->model->params, name, ".blocks");
    if (param)
        return read_blocks(conversion, param, offset, target, size);
    param = param_find_part(&conversion->model->params, name, ".scales");
    if (!param)
        return safetensors_read_part(conversion->file, safetensors_find(conversion->file, name),
                                     offset, size, target);
    memcpy(target, (const char *)param->weight.scales.data + offset, size);
    return STATUS_OK;
}

/* Every parameter is there in f32 and in its shape. Returns in *largest the numbers, and in
 * *largest_bytes the blocks, of the largest matrix. */
static enum status check_tensors(const struct conversion *conversion, size_t *largest,
                                 size_t *largest_bytes)
{
    for (int64_t i = 0; i < conversion->model->params.count; i++) {
        const struct param *param = conversion->model->params.items[i];
        const struct tensor *value = &param->weight.value;
        const struct safetensors_tensor *found = safetensors_find(conversion->file, param->name);
        bool is_same = found && found->type == SAFETENSORS_F32 && found->rank == value->rank;
        for (int d = 0; is_same && d < found->rank; d++)
            is_same = found->dim[d] == value->dim[d];
        if (!is_same)
            return status_set(STATUS_FORMAT,
                              "%s: tensor '%s' is missing or has not the shape that the "
                              "configuration in the file gives it",
                              conversion->path, param->name);
        if (!param->weight.blocks.rank)
            continue;
        const struct matrix_shape shape = shape_of(param);
        const size_t count = (size_t)(shape.in * shape.out);
        *largest = count > *largest ? count : *largest;
        *largest_bytes =
            (size_t)shape.bytes > *largest_bytes ? (size_t)shape.bytes : *largest_bytes;
    }
    return STATUS_OK;
}

static enum status write_model(struct conversion *conversion, const char *to)
{
    size_t largest = 0, largest_bytes = 0;
    enum status status = check_tensors(conversion, &largest, &largest_bytes);
    if (status < 0)
        return status;
    conversion->values = malloc(largest * sizeof(float) + 1);
    conversion->blocks = malloc(largest_bytes + 1);
    const struct model_source source = {read_part, conversion};
    if (conversion->values && conversion->blocks)
        status = model_save_from(conversion->model, to, &source);
    else
        status = status_set(STATUS_MEMORY, "no memory for a matrix of %zu numbers", largest);
    free(conversion->values);
    free(conversion->blocks);
    return status;
}

/* Opens the old model, and lays the new one out. */
static enum status open_models(struct safetensors **file, struct model *model,
                               struct backend *backend, struct config *config, const char *path)
{
    struct subword *subword = NULL;
    enum status status = safetensors_open(file, path);
    if (status >= 0)
        status = model_read_head(*file, path, config, &subword);
    if (status >= 0 && safetensors_metadata(*file, SHARDS_KEY))
        status = status_set(STATUS_FORMAT,
                            "%s: a state in shards is not converted; "
                            "best.safetensors of the run is",
                            path);
    if (status >= 0 && config->model.dtype == CONFIG_DTYPE_INT8)
        status = status_set(STATUS_FORMAT, "%s: this model is in int8 already", path);
    if (status >= 0 && safetensors_metadata(*file, "hash"))
        status = safetensors_verify(*file);
    if (status >= 0) {
        config->model.dtype = CONFIG_DTYPE_INT8;
        status = model_init(model, backend, config, subword_size(subword), false);
    }
    if (status < 0)
        subword_free(subword);
    else
        model->subword = subword;
    return status;
}

enum status model_convert_to_int8(const char *from, const char *to)
{
    struct backend backend = {0};
    struct model *model = calloc(1, sizeof *model);
    struct config *config = malloc(sizeof *config);
    struct safetensors *file = NULL;
    struct buffer path = {0};
    enum status status =
        model && config ? STATUS_OK : status_set(STATUS_MEMORY, "no memory to convert");
    if (status >= 0)
        status = backend_open(&backend, "ref", 1);
    if (status >= 0)
        status = model_find(from, &path);
    if (status >= 0)
        status = open_models(&file, model, &backend, config, path.data);
    if (status >= 0) {
        struct conversion conversion = {.file = file, .path = path.data, .model = model};
        status = write_model(&conversion, to);
    }
    if (model)
        model_free(model);
    free(model);
    free(config);
    safetensors_close(file);
    buffer_free(&path);
    backend_close(&backend);
    return status;
}
