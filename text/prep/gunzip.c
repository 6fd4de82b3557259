/* Pulls compressed bytes from a function and inflates them with zlib. */
#include "text/prep/gunzip.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { BLOCK_BYTES = 1 << 17, MAGIC_BYTES = 2 };

static const unsigned char magic[MAGIC_BYTES] = {0x1F, 0x8B};

struct gunzip {
    gunzip_read *read;
    void *context;
    const char *name; /* borrowed */
    bool is_decided;  /* compressed or not */
    bool is_compressed;
    bool is_at_end; /* read has no more */
    bool is_inside; /* of a member: its end was not seen yet */
    bool is_ready;  /* the inflater has memory */
    z_stream inflater;
    unsigned char start[MAGIC_BYTES]; /* the first bytes, where they came one at a time */
    const void *waiting;              /* read, but neither inflated nor given out */
    size_t n_waiting;
    const void *behind_start; /* what came with the last byte of start */
    size_t n_behind_start;
    unsigned char block[BLOCK_BYTES];
};

enum status gunzip_open(struct gunzip **gunzip, gunzip_read *read, void *context, const char *name)
{
    *gunzip = calloc(1, sizeof **gunzip);
    if (*gunzip == NULL)
        return status_set(STATUS_MEMORY, "no memory to read %s", name);
    (*gunzip)->read = read;
    (*gunzip)->context = context;
    (*gunzip)->name = name;
    return STATUS_OK;
}

void gunzip_close(struct gunzip *gunzip)
{
    if (gunzip == NULL)
        return;
    if (gunzip->is_ready)
        inflateEnd(&gunzip->inflater);
    free(gunzip);
}

static enum status damaged(const struct gunzip *gunzip, const char *why)
{
    return status_set(STATUS_FORMAT, "%s: damaged gzip data: %s", gunzip->name, why);
}

/* Makes bytes wait, where there are none and the stream has not ended. */
static enum status fill(struct gunzip *gunzip)
{
    if (gunzip->n_waiting == 0 && gunzip->n_behind_start > 0) {
        gunzip->waiting = gunzip->behind_start;
        gunzip->n_waiting = gunzip->n_behind_start;
        gunzip->n_behind_start = 0;
    }
    if (gunzip->n_waiting > 0 || gunzip->is_at_end)
        return STATUS_OK;
    const enum status status = gunzip->read(gunzip->context, &gunzip->waiting, &gunzip->n_waiting);
    gunzip->is_at_end = status == STATUS_OK && gunzip->n_waiting == 0;
    return status;
}

/* Looks at the first two bytes, also where they come one after the other. */
static enum status decide(struct gunzip *gunzip)
{
    enum status status = fill(gunzip);
    if (status < 0)
        return status;
    if (gunzip->n_waiting == 1) {
        gunzip->start[0] = *(const unsigned char *)gunzip->waiting;
        gunzip->n_waiting = 0;
        if ((status = fill(gunzip)) < 0)
            return status;
        if (gunzip->n_waiting > 0) {
            gunzip->start[1] = *(const unsigned char *)gunzip->waiting;
            gunzip->behind_start = (const unsigned char *)gunzip->waiting + 1;
            gunzip->n_behind_start = gunzip->n_waiting - 1;
        }
        gunzip->n_waiting = gunzip->n_waiting > 0 ? 2 : 1;
        gunzip->waiting = gunzip->start;
    }
    gunzip->is_compressed =
        gunzip->n_waiting >= 2 && memcmp(gunzip->waiting, magic, sizeof magic) == 0;
    gunzip->is_decided = true;
    return STATUS_OK;
}

/* Begins a member with the bytes that wait; padding before it is skipped. */
static enum status start_member(struct gunzip *gunzip)
{
    const unsigned char *bytes = gunzip->waiting;
    while (gunzip->n_waiting > 0 && gunzip->is_ready && *bytes == 0) {
        bytes++;
        gunzip->n_waiting--;
    }
    gunzip->waiting = bytes;
    if (gunzip->n_waiting == 0)
        return STATUS_OK;
    /* 16: zlib's code for "a gzip header and nothing else" */
    const int code = gunzip->is_ready ? inflateReset(&gunzip->inflater)
                                      : inflateInit2(&gunzip->inflater, 16 + MAX_WBITS);
    if (code != Z_OK)
        return status_set(STATUS_MEMORY, "no memory to decompress %s", gunzip->name);
    gunzip->is_ready = true;
    gunzip->is_inside = true;
    return STATUS_OK;
}

/* Inflates bytes that wait until the block is full or they are used up. */
static enum status inflate_waiting(struct gunzip *gunzip, size_t *size)
{
    z_stream *inflater = &gunzip->inflater;
    const size_t n_given = gunzip->n_waiting < (1u << 30) ? gunzip->n_waiting : 1u << 30;
    inflater->next_in = (unsigned char *)gunzip->waiting;
    inflater->avail_in = (uInt)n_given;
    inflater->next_out = gunzip->block + *size;
    inflater->avail_out = (uInt)(BLOCK_BYTES - *size);
    const int code = inflate(inflater, Z_NO_FLUSH);
    gunzip->waiting = inflater->next_in;
    gunzip->n_waiting -= n_given - inflater->avail_in;
    *size = BLOCK_BYTES - inflater->avail_out;
    if (code == Z_STREAM_END)
        gunzip->is_inside = false;
    else if (code == Z_MEM_ERROR)
        return status_set(STATUS_MEMORY, "no memory to decompress %s", gunzip->name);
    else if (code != Z_OK && code != Z_BUF_ERROR)
        return damaged(gunzip, inflater->msg ? inflater->msg : "it makes no sense");
    return STATUS_OK;
}

static enum status next_inflated(struct gunzip *gunzip, size_t *size)
{
    *size = 0;
    while (*size < BLOCK_BYTES) {
        enum status status = fill(gunzip);
        if (status < 0)
            return status;
        if (gunzip->n_waiting == 0) {
            if (gunzip->is_inside)
                return damaged(gunzip, "it is cut off");
            return STATUS_OK;
        }
        if (!gunzip->is_inside && (status = start_member(gunzip)) < 0)
            return status;
        if (gunzip->is_inside && (status = inflate_waiting(gunzip, size)) < 0)
            return status;
    }
    return STATUS_OK;
}

enum status gunzip_next(struct gunzip *gunzip, const void **bytes, size_t *size)
{
    enum status status = STATUS_OK;
    *bytes = NULL;
    *size = 0;
    if (!gunzip->is_decided && (status = decide(gunzip)) < 0)
        return status;
    if (gunzip->is_compressed) {
        status = next_inflated(gunzip, size);
        *bytes = gunzip->block;
        return status;
    }
    if ((status = fill(gunzip)) < 0)
        return status;
    *bytes = gunzip->waiting;
    *size = gunzip->n_waiting;
    gunzip->n_waiting = 0;
    return STATUS_OK;
}
