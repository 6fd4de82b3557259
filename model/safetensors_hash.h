/* What the writer and the reader of safetensors files share, for model/safetensors*.c alone. */
#ifndef MIXT_MODEL_SAFETENSORS_HASH_H
#define MIXT_MODEL_SAFETENSORS_HASH_H

#include <xxhash.h>

#include "model/safetensors.h"

#define SAFETENSORS_METADATA_KEY "__metadata__"
#define SAFETENSORS_HASH_KEY     "hash" /* in the metadata */

enum { SAFETENSORS_HEX_BYTES = 33 }; /* of a hash as text, with its ending */

/* Adds one thing of the header to a sum that does not depend on the order of things. */
void safetensors_hash_text(XXH128_hash_t *sum, const char *key, const char *value);
void safetensors_hash_shape(XXH128_hash_t *sum, const struct safetensors_tensor *tensor);

/* 32 hexadecimal digits, high half first, as xxhsum prints them. */
void safetensors_hash_write(XXH128_hash_t hash, char hex[SAFETENSORS_HEX_BYTES]);

#endif
