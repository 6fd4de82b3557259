/* What of a model goes into a file: names and shapes of all tensors, and where their numbers are.
 * For the files of this folder alone. */
#ifndef MIXT_MODEL_INVENTORY_H
#define MIXT_MODEL_INVENTORY_H

#include "layer/runs.h"
#include "model/model.h"
#include "model/safetensors.h"

/* What a parameter may have: the forms of its value, then the optimiser's states of it. */
enum {
    INVENTORY_STATES = 8,
    INVENTORY_VALUES = 3,
    INVENTORY_BLOCKS = 0, /* the first: int8 */
    INVENTORY_VALUE = 1,
    INVENTORY_NAME_BYTES = 160
};

/* Several ranks have parts of some tensors: of experts that they divide, of moments of an update
 * that they share. Of all else all have all. */
enum inventory_kind {
    INVENTORY_WHOLE,  /* every tensor, in the shape that it has all together */
    INVENTORY_COMMON, /* those that all have */
    INVENTORY_OWN     /* of the others what is here, but for nothing */
};

struct inventory {
    struct backend *backend;            /* borrowed */
    struct safetensors_tensor *tensors; /* owned */
    const struct tensor **places;       /* owned; what is here of each, borrowed from the model */
    const struct param **params;        /* owned: whose they are */
    char *names;                        /* owned */
    size_t count;
    struct comm *comm;        /* borrowed: the ranks that have parts; NULL: all is here */
    struct comm_pulse *pulse; /* borrowed; of ranks that wait while this one writes; NULL: none */
};

/* with_state: moments and averages, too. STATUS_MEMORY. */
enum status inventory_make(struct inventory *inventory, const struct model *model,
                           enum inventory_kind kind, bool with_state) STATUS_CHECKED;
void inventory_free(struct inventory *inventory);

/* Whether ranks have parts of tensor number index. */
bool inventory_is_parted(const struct inventory *inventory, size_t index);

/* Which numbers of the whole tensor number index a rank has. */
struct run_range inventory_range(const struct inventory *inventory, size_t index, int rank);

/* The name of a parameter's state; a tensor's entry in a file. */
void inventory_name(char name[INVENTORY_NAME_BYTES], const struct param *param, int state);
struct safetensors_tensor inventory_describe(const struct tensor *tensor, const char *name);

/* Of safetensors_write(), with the inventory as context: gives what is here. */
enum status inventory_download(void *context, size_t index, uint64_t offset, void *target,
                               size_t size);

/* The numbers in the bytes offset .. offset+size-1 of a tensor. */
struct tensor inventory_part_of(const struct tensor *tensor, uint64_t offset, size_t size);

#endif
