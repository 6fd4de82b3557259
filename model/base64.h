/* Base64 (RFC 4648, section 4): bytes as text, for metadata of model files. */
#ifndef MIXT_MODEL_BASE64_H
#define MIXT_MODEL_BASE64_H

#include <stddef.h>

#include "base/buffer.h"

/* Appends bytes [size] as base64 with padding, without line breaks. */
enum status base64_encode(const void *bytes, size_t size, struct buffer *text) STATUS_CHECKED;

/* Appends the bytes of a base64 text. STATUS_FORMAT for anything that base64_encode() would not
 * have written: spaces, missing padding, stray bits. */
enum status base64_decode(const char *text, size_t size, struct buffer *bytes) STATUS_CHECKED;

#endif
