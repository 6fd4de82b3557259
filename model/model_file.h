/* Model files: the weights, the configuration and the subword model in one safetensors file.
 *
 * A checkpoint is such a file that also holds Adam's moments and the trainer's place, so that one
 * rename makes it whole; several ranks save it in parts. Tensors are named by param_list; moments
 * add ".first" and ".second" or, of factored ones, ".second_row" and ".second_column", and averages
 * ".average"; only those that a parameter has are there. Values pass from and to the backend in
 * blocks, without a copy of all.
 *
 * With model.dtype int8 a matrix is NAME.blocks (I8, backend/quantize.h) and NAME.scales. Blocks
 * come first, so that each starts at a multiple of 64 bytes, and are used where they lie in the
 * mapped file: loading reads only those of up to MODEL_VERIFIED_BYTES, to compare their hashes;
 * 'mixt info --check' reads all. Where a backend reads weights on the host (GPUs), experts'
 * matrices in f32 are used in the mapping, too, all of them verified. The file must not be written
 * to while a model uses it. */
#ifndef MIXT_MODEL_MODEL_FILE_H
#define MIXT_MODEL_MODEL_FILE_H

#include "model/model.h"
#include "model/safetensors.h"

/* Where ranks divide a model's experts (params.comm): saving is collective, and all return the same
 * status; reading is not, and each takes its share. */

/* Writes the model, without states, atomically; equal models give equal bytes. Of several ranks
 * rank 0 writes the one file. */
enum status model_save(struct model *model, const char *path) STATUS_CHECKED;

/* The same with states, and metadata [n], more texts to keep. Of several ranks each writes a shard
 * beside (model/shards.h), and none needs memory or room for more than its own. Shards of an older
 * state of this path are removed. */
enum status model_save_state(struct model *model, const char *path,
                             const struct safetensors_text *metadata, size_t n) STATUS_CHECKED;

/* A copy of the values of a model whose experts ranks divide, with all of them, and the subword
 * model, on every rank; packed. Collective, with one status for all. On error whole is zeroed. */
enum status model_gather(struct model *whole, struct model *model) STATUS_CHECKED;

/* Where a model's tensors come from that are not in its memory: size bytes from offset on, of the
 * tensor that the file names so. Asked for in the order of the file, from front to back. */
struct model_source {
    enum status (*read)(void *context, const char *name, uint64_t offset, void *target,
                        size_t size);
    void *context;
};

/* Writes a model, without states, of which only the shapes are there. */
enum status model_save_from(struct model *model, const char *path,
                            const struct model_source *source) STATUS_CHECKED;

enum { MODEL_VERIFIED_BYTES = 256 << 20 };

/* Opens a model: a .safetensors file, or a run directory, whose best model (else last state) it
 * takes. Reads every parameter, verified, and packs it. On error the model is zeroed. */
enum status model_load(struct model *model, struct backend *backend,
                       const char *path) STATUS_CHECKED;

/* Reads configuration and subword model of an opened file into config and *subword (owned by the
 * caller); path is for messages. */
enum status model_read_head(const struct safetensors *file, const char *path, struct config *config,
                            struct subword **subword) STATUS_CHECKED;

/* Reads all parameters, and with_state the moments, from an opened file and its shards into a model
 * of the same shape, and packs. Every parameter must be there and every tensor be used. A model in
 * int8 borrows the file. */
enum status model_read_values(struct model *model, struct safetensors *file, const char *path,
                              bool with_state) STATUS_CHECKED;

/* The file that model_load() takes for path: itself, DIR/best.safetensors or the newest state. */
enum status model_find(const char *path, struct buffer *file) STATUS_CHECKED;

#endif
