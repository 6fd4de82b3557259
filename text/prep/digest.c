/* Digests by libcrypto. */
#include "text/prep/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

enum { BLOCK_BYTES = 1 << 17 };

struct digest {
    int64_t bytes;
    EVP_MD_CTX *sha256;
    EVP_MD_CTX *md5; /* NULL where it was not asked for */
};

/* A context for the algorithm; NULL without memory or where the library refuses the algorithm. */
static EVP_MD_CTX *start(const EVP_MD *algorithm)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    if (context != NULL && EVP_DigestInit_ex(context, algorithm, NULL) != 1) {
        EVP_MD_CTX_free(context);
        return NULL;
    }
    return context;
}

enum status digest_open(struct digest **digest, bool with_md5)
{
    *digest = calloc(1, sizeof **digest);
    if (*digest == NULL)
        return status_set(STATUS_MEMORY, "no memory for a digest");
    (*digest)->sha256 = start(EVP_sha256());
    (*digest)->md5 = with_md5 ? start(EVP_md5()) : NULL;
    if ((*digest)->sha256 != NULL && (!with_md5 || (*digest)->md5 != NULL))
        return STATUS_OK;
    const bool has_sha256 = (*digest)->sha256 != NULL;
    digest_close(*digest);
    *digest = NULL;
    return status_set(STATUS_FAILED, "libcrypto gives no %s here", has_sha256 ? "MD5" : "SHA-256");
}

void digest_close(struct digest *digest)
{
    if (digest == NULL)
        return;
    EVP_MD_CTX_free(digest->sha256);
    EVP_MD_CTX_free(digest->md5);
    free(digest);
}

void digest_add(struct digest *digest, const void *bytes, size_t size)
{
    digest->bytes += (int64_t)size;
    CHECK(EVP_DigestUpdate(digest->sha256, bytes, size) == 1, "SHA-256 failed");
    CHECK(digest->md5 == NULL || EVP_DigestUpdate(digest->md5, bytes, size) == 1, "MD5 failed");
}

/* Writes 2 digits a byte and a NUL. */
static void write_digits(EVP_MD_CTX *context, char *digits)
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    CHECK(EVP_DigestFinal_ex(context, bytes, &size) == 1, "a digest failed");
    for (unsigned int i = 0; i < size; i++)
        sprintf(digits + 2 * i, "%02x", bytes[i]);
}

void digest_finish(struct digest *digest, struct digest_result *result)
{
    *result = (struct digest_result){.bytes = digest->bytes};
    write_digits(digest->sha256, result->sha256);
    if (digest->md5 != NULL)
        write_digits(digest->md5, result->md5);
}

static enum status read_all(struct digest *digest, int descriptor, const char *path,
                            const struct watch *watch)
{
    unsigned char block[BLOCK_BYTES];
    struct stat information;
    const int64_t total = fstat(descriptor, &information) == 0 ? information.st_size : 0;
    for (;;) {
        const ssize_t got = read(descriptor, block, sizeof block);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return status_set(STATUS_IO, "cannot read %s: %s", path, strerror(errno));
        if (got == 0)
            return STATUS_OK;
        digest_add(digest, block, (size_t)got);
        if (!watch_goes_on(watch, digest->bytes, total))
            return status_set(STATUS_INTERRUPTED, "interrupted");
    }
}

enum status digest_file(const char *path, bool with_md5, const struct watch *watch,
                        struct digest_result *result)
{
    struct digest *digest = NULL;
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return status_set(STATUS_IO, "cannot open %s: %s", path, strerror(errno));
    enum status status = digest_open(&digest, with_md5);
    if (status == STATUS_OK)
        status = read_all(digest, descriptor, path, watch);
    if (status == STATUS_OK)
        digest_finish(digest, result);
    digest_close(digest);
    close(descriptor);
    return status;
}
