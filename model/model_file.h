/* Model files: the weights, the configuration and the subword model in one safetensors file.
 *
 * A checkpoint is such a file that also holds Adam's moments and the trainer's place, so that one
 * rename makes it whole. Tensors are named by param_list; moments add ".first" and ".second" or, of
 * factored ones, ".second_row" and ".second_column", and averages ".average"; only those that a
 * parameter has are there. Values pass from and to the backend in blocks, without a copy of all. */
#ifndef MIXT_MODEL_MODEL_FILE_H
#define MIXT_MODEL_MODEL_FILE_H

#include "model/model.h"
#include "model/safetensors.h"

/* Writes the model atomically. metadata [n]: more texts to keep; with_state: moments, too. Equal
 * models give equal bytes. */
enum status model_save(struct model *model, const char *path, bool with_state,
                       const struct safetensors_text *metadata, size_t n) STATUS_CHECKED;

/* Gives `count` numbers of a parameter, from number `first` on, that no memory holds. An error ends
 * the writing. */
struct model_source {
    enum status (*read)(void *context, const struct param *param, uint64_t first, float *numbers,
                        size_t count);
    void *context;
};

/* Writes a model of 32-bit floats as model_save() does, but with values from a source, asked for in
 * the order of the file: the model's own are not touched, so it takes no memory. */
enum status model_save_made(struct model *model, const char *path,
                            const struct model_source *source) STATUS_CHECKED;

/* Opens a model: a .safetensors file, or a run directory, whose best model (else last state) it
 * takes. Reads every parameter, verified, and packs it. On error the model is zeroed. */
enum status model_load(struct model *model, struct backend *backend,
                       const char *path) STATUS_CHECKED;

/* Reads configuration and subword model of an opened file into config and *subword (owned by the
 * caller); path is for messages. */
enum status model_read_head(const struct safetensors *file, const char *path, struct config *config,
                            struct subword **subword) STATUS_CHECKED;

/* Reads all parameters, and with_state the moments, from an opened file into a model of the same
 * shape, and packs. Every parameter must be there and every tensor be used. */
enum status model_read_values(struct model *model, const struct safetensors *file, const char *path,
                              bool with_state) STATUS_CHECKED;

/* The file that model_load() takes for path: itself, DIR/best.safetensors or the newest state. */
enum status model_find(const char *path, struct buffer *file) STATUS_CHECKED;

#endif
