/* Model files: the safetensors format, written atomically and read with distrust.
 *
 * File: u64 little-endian n; n bytes of JSON, padded with spaces so that the data starts at a
 * multiple of 64; the tensors, in order, without holes. Any safetensors reader opens such a file.
 * The metadata (texts under "__metadata__") has one key of its own, "hash": a JSON text that gives
 * the XXH3-128 of each tensor's bytes, and under "" that of everything else in the header. A file
 * without "hash" is read too, unverified.
 *
 * Reading uses pread(), so that a file cut short under a running program is an error and not a
 * signal, and allocates nothing larger than what the file really holds. safetensors_map() alone
 * relies on the file to stay as it is; to replace one, write another and rename it. */
#ifndef MIXT_MODEL_SAFETENSORS_H
#define MIXT_MODEL_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum {
    SAFETENSORS_MAX_RANK = 4,
    SAFETENSORS_MAX_HEADER_BYTES = 100000000 /* the format's own limit */
};

enum safetensors_type {
    SAFETENSORS_F32,
    SAFETENSORS_F64,
    SAFETENSORS_BF16,
    SAFETENSORS_I8,
    SAFETENSORS_U8,
    SAFETENSORS_I32,
    SAFETENSORS_I64
};

struct safetensors_tensor {
    const char *name; /* UTF-8, not empty, not "__metadata__" */
    enum safetensors_type type;
    int rank;                          /* 0 = one number */
    int64_t dim[SAFETENSORS_MAX_RANK]; /* the first `rank` are in use, each >= 0 */
    const void *data;                  /* borrowed; NULL in a tensor of an opened file, and where a
                                          source gives the bytes */
    uint64_t size;                     /* bytes: product of dim times safetensors_type_size() */
};

struct safetensors_text {
    const char *key; /* UTF-8, not "hash" */
    const char *value;
};

size_t safetensors_type_size(enum safetensors_type type);

/* "F32", as the header spells it. */
const char *safetensors_type_name(enum safetensors_type type);

enum { SAFETENSORS_BLOCK_BYTES = 1 << 20 }; /* what a source or a sink is asked for at most */

/* Gives the bytes of tensors that are not in memory: size of them from offset on, of tensor number
 * index, into target. An error ends the writing and is returned. */
struct safetensors_source {
    enum status (*read)(void *context, size_t index, uint64_t offset, void *target, size_t size);
    void *context;
};

/* Writes a file under a temporary name and renames it to path; equal arguments give equal bytes.
 *
 * tensor    [n_tensors]   names must differ
 * metadata  [n_metadata]  keys must differ
 * source                  of tensors whose data is NULL; may be NULL where there are none
 *
 * Goes once through the data, block by block. STATUS_IO when it cannot be written, STATUS_FORMAT
 * for a text that is not UTF-8 or a header over the limit; then path is as it was. */
enum status safetensors_write(const char *path, const struct safetensors_tensor *tensor,
                              size_t n_tensors, const struct safetensors_text *metadata,
                              size_t n_metadata,
                              const struct safetensors_source *source) STATUS_CHECKED;

struct safetensors; /* an opened file */

/* Opens and checks a file's header: sizes, names, types, shapes against offsets, no overlap, no
 * hole, no byte left over, and the header's hash where there is one. STATUS_IO, STATUS_FORMAT with
 * "FILE: what is wrong, and at which byte or tensor". On error *file is NULL. */
enum status safetensors_open(struct safetensors **file, const char *path) STATUS_CHECKED;

/* Closes and frees; NULL is fine. */
void safetensors_close(struct safetensors *file);

/* The tensors, in the order of their bytes. */
size_t safetensors_count(const struct safetensors *file);
const struct safetensors_tensor *safetensors_get(const struct safetensors *file, size_t index);

/* The tensor of a name, NULL where there is none. */
const struct safetensors_tensor *safetensors_find(const struct safetensors *file, const char *name);

/* A text of the metadata, NULL where there is none. Lives as long as the file. */
const char *safetensors_metadata(const struct safetensors *file, const char *key);

/* Copies a whole tensor into target [tensor->size bytes] and verifies its hash where the file has
 * hashes. STATUS_FORMAT names the tensor when it is damaged; target is then undefined. */
enum status safetensors_read(const struct safetensors *file,
                             const struct safetensors_tensor *tensor, void *target) STATUS_CHECKED;

/* Takes bytes of a tensor: size of them from offset on. An error ends the reading. */
struct safetensors_sink {
    enum status (*write)(void *context, uint64_t offset, const void *bytes, size_t size);
    void *context;
};

/* The same block by block, without memory for the whole. Only STATUS_OK says that what the sink was
 * given is undamaged. */
enum status safetensors_read_blocks(const struct safetensors *file,
                                    const struct safetensors_tensor *tensor,
                                    const struct safetensors_sink *sink) STATUS_CHECKED;

/* Copies size bytes from offset on, as one expert's rows; nothing is verified. */
enum status safetensors_read_part(const struct safetensors *file,
                                  const struct safetensors_tensor *tensor, uint64_t offset,
                                  uint64_t size, void *target) STATUS_CHECKED;

/* Gives a tensor where it lies in the file, mapped to be read until the file is closed; in a file
 * of safetensors_write() at a multiple of 64 where all sizes before it are. is_verified: reads it
 * once and compares its hash. STATUS_IO, STATUS_FORMAT. */
enum status safetensors_map(struct safetensors *file, const struct safetensors_tensor *tensor,
                            bool is_verified, const void **bytes) STATUS_CHECKED;

/* Reads every tensor and compares its hash. A file without hashes is STATUS_FORMAT: nothing says
 * that it is whole. */
enum status safetensors_verify(const struct safetensors *file) STATUS_CHECKED;

#endif
