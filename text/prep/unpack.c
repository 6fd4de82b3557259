/* Archives by libarchive.
 *
 * The gzip form is taken off by text/prep/gunzip.h, before and behind libarchive, because
 * libarchive's own filter does not look at the CRC. */
#include "text/prep/unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/buffer.h"
#include "text/prep/gunzip.h"

enum { BLOCK_BYTES = 1 << 17, MAX_COMPARED_NAME = 255, MAX_COMPARED_MEMBERS = 10000 };

/* An archive being read: descriptor -> gunzip -> libarchive -> gunzip -> take. */
struct reading {
    const struct unpack_job *job;
    int descriptor;
    int64_t file_bytes;
    int64_t n_read;
    struct gunzip *outer;
    struct archive *archive;
    enum status failure; /* of read_file() or read_member(), whose message stands */
    size_t want;         /* the member being read */
    int64_t n_taken;     /* bytes of it */
    unsigned char file_block[BLOCK_BYTES];
    unsigned char member_block[BLOCK_BYTES];
};

/* Bytes of the file, for the outer gunzip. */
static enum status read_file(void *context, const void **bytes, size_t *size)
{
    struct reading *reading = context;
    ssize_t got = 0;
    do
        got = read(reading->descriptor, reading->file_block, BLOCK_BYTES);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return reading->failure =
                   status_set(STATUS_IO, "cannot read %s: %s", reading->job->name, strerror(errno));
    reading->n_read += got;
    if (!watch_goes_on(&reading->job->watch, reading->n_read, reading->file_bytes))
        return reading->failure = status_set(STATUS_INTERRUPTED, "interrupted");
    *bytes = reading->file_block;
    *size = (size_t)got;
    return STATUS_OK;
}

static la_ssize_t read_outer(struct archive *archive, void *context, const void **bytes)
{
    struct reading *reading = context;
    size_t size = 0;
    const enum status status = gunzip_next(reading->outer, bytes, &size);
    if (status < 0) {
        reading->failure = status;
        archive_set_error(archive, EINVAL, "see the caller's message");
        return -1;
    }
    return (la_ssize_t)size;
}

/* What libarchive says, unless the failure is one of ours and has its message already. */
static enum status library_failure(struct reading *reading)
{
    if (reading->failure < 0)
        return reading->failure;
    const char *why = archive_error_string(reading->archive);
    char shown[PRINTABLE_BYTES];
    if (archive_errno(reading->archive) == ENOMEM)
        return status_set(STATUS_MEMORY, "no memory to read %s", reading->job->name);
    return status_set(STATUS_FORMAT, "%s: not a readable archive: %s", reading->job->name,
                      printable(shown, why == NULL ? "unknown damage" : why));
}

/* Bytes of the current member, for the inner gunzip. */
static enum status read_member(void *context, const void **bytes, size_t *size)
{
    struct reading *reading = context;
    const la_ssize_t got = archive_read_data(reading->archive, reading->member_block, BLOCK_BYTES);
    if (got < 0)
        return reading->failure = library_failure(reading);
    if (reading->outer == NULL &&
        !watch_goes_on(&reading->job->watch, archive_filter_bytes(reading->archive, -1),
                       reading->file_bytes))
        return reading->failure = status_set(STATUS_INTERRUPTED, "interrupted");
    *bytes = reading->member_block;
    *size = (size_t)got;
    return STATUS_OK;
}

/* Hands over the current member. */
static enum status take_member(struct reading *reading)
{
    const struct unpack_job *job = reading->job;
    const char *member = job->wants[reading->want].member;
    char shown[PRINTABLE_BYTES];
    struct buffer name = {0};
    enum status status = buffer_append_string(&name, job->name);
    if (status == STATUS_OK && member != NULL)
        status = buffer_printf(&name, ": %s", printable(shown, member));
    struct gunzip *inner = NULL;
    if (status == STATUS_OK)
        status = gunzip_open(&inner, read_member, reading, name.data);
    reading->n_taken = 0;
    while (status == STATUS_OK) {
        const void *bytes = NULL;
        size_t size = 0;
        status = gunzip_next(inner, &bytes, &size);
        reading->n_taken += (int64_t)size;
        if (status == STATUS_OK && reading->n_taken > UNPACK_MAX_TEXT)
            status = status_set(STATUS_FORMAT, "%s unpacks to more than %lld bytes", name.data,
                                (long long)UNPACK_MAX_TEXT);
        if (status == STATUS_OK)
            status = job->take(job->context, reading->want, bytes, size);
        if (size == 0)
            break;
    }
    gunzip_close(inner);
    buffer_free(&name);
    return status;
}

static const char *kind_name(struct archive_entry *entry)
{
    if (archive_entry_hardlink(entry) != NULL)
        return "a hard link";
    switch (archive_entry_filetype(entry)) {
    case AE_IFDIR:
        return "a directory";
    case AE_IFLNK:
        return "a symbolic link";
    case AE_IFREG:
        return NULL;
    default:
        return "a special file";
    }
}

/* Edit distance, of names cut to MAX_COMPARED_NAME bytes. */
static size_t distance(const char *one, const char *other)
{
    const size_t rows = strnlen(one, MAX_COMPARED_NAME),
                 columns = strnlen(other, MAX_COMPARED_NAME);
    size_t row[MAX_COMPARED_NAME + 1];
    for (size_t j = 0; j <= columns; j++)
        row[j] = j;
    for (size_t i = 1; i <= rows; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= columns; j++) {
            const size_t above = row[j];
            size_t best = diagonal + (one[i - 1] != other[j - 1]);
            best = above + 1 < best ? above + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[columns];
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/* Keeps the name where it is nearer to a want than those before it; nearest[i] is its distance. */
static void compare_names(const struct unpack_job *job, const char *name, size_t *nearest)
{
    for (size_t i = 0; i < job->n_wants; i++) {
        struct unpack_want *want = &job->wants[i];
        if (want->is_found || want->member == NULL || name[strlen(name) - 1] == '/')
            continue;
        const size_t apart = strcmp(base_name(want->member), base_name(name)) == 0
                                 ? 0
                                 : distance(want->member, name);
        if (apart < nearest[i]) {
            nearest[i] = apart;
            printable(want->nearest, name);
        }
    }
}

static const char *entry_name(struct archive_entry *entry)
{
    const char *name = archive_entry_pathname(entry);
    if (name == NULL)
        name = archive_entry_pathname_utf8(entry);
    if (name == NULL)
        name = "";
    while (strncmp(name, "./", 2) == 0)
        name += 2;
    return name;
}

/* Takes an entry that is wanted. */
static enum status visit(struct reading *reading, struct archive_entry *entry, size_t *nearest,
                         bool is_compared)
{
    const struct unpack_job *job = reading->job;
    const char *name = entry_name(entry);
    char shown[PRINTABLE_BYTES];
    size_t i = 0;
    while (i < job->n_wants && job->wants[i].member != NULL &&
           strcmp(job->wants[i].member, name) != 0)
        i++;
    if (i == job->n_wants) {
        if (is_compared && name[0] != '\0')
            compare_names(job, name, nearest);
        return STATUS_OK;
    }
    struct unpack_want *want = &job->wants[i];
    const char *kind = want->member == NULL ? NULL : kind_name(entry);
    if (kind != NULL)
        return status_set(STATUS_FORMAT, "%s: %s is %s, not a file", job->name,
                          printable(shown, name), kind);
    if (want->is_found)
        return status_set(STATUS_FORMAT, "%s: holds %s twice", job->name, printable(shown, name));
    if (archive_entry_size_is_set(entry) && archive_entry_size(entry) > UNPACK_MAX_TEXT)
        return status_set(STATUS_FORMAT, "%s: %s states a size of %lld bytes", job->name,
                          printable(shown, name), (long long)archive_entry_size(entry));
    want->is_found = true;
    reading->want = i;
    return take_member(reading);
}

static enum status visit_all(struct reading *reading, size_t *nearest, int64_t *n_members)
{
    for (;;) {
        struct archive_entry *entry = NULL;
        const int code = archive_read_next_header(reading->archive, &entry);
        if (code == ARCHIVE_EOF)
            return STATUS_OK;
        if (code == ARCHIVE_RETRY)
            continue;
        if (code < ARCHIVE_WARN)
            return library_failure(reading);
        ++*n_members;
        const enum status status =
            visit(reading, entry, nearest, *n_members <= MAX_COMPARED_MEMBERS);
        if (status < 0)
            return status;
    }
}

/* A file without any content has no entry either, but is a text. */
static enum status take_empty(const struct unpack_job *job)
{
    if (job->n_wants != 1 || job->wants[0].member != NULL || job->wants[0].is_found)
        return STATUS_OK;
    job->wants[0].is_found = true;
    return job->take(job->context, 0, "", 0);
}

/* A tar ends before its compressed form does: reads on, so that the CRC behind it is checked. */
static enum status drain(struct reading *reading)
{
    const void *bytes = NULL;
    size_t size = 1;
    enum status status = STATUS_OK;
    while (reading->outer != NULL && status == STATUS_OK && size > 0)
        status = gunzip_next(reading->outer, &bytes, &size);
    return status;
}

/* Opens the file and tells whether it has the form of gzip. */
static enum status open_file(struct reading *reading, bool *is_gzip)
{
    struct stat information;
    unsigned char start[2] = {0, 0};
    reading->descriptor = open(reading->job->path, O_RDONLY | O_CLOEXEC);
    if (reading->descriptor < 0 || fstat(reading->descriptor, &information) != 0)
        return status_set(STATUS_IO, "cannot open %s: %s", reading->job->path, strerror(errno));
    if (!S_ISREG(information.st_mode))
        return status_set(STATUS_IO, "cannot read %s: it is not a file", reading->job->path);
    reading->file_bytes = information.st_size;
    *is_gzip = pread(reading->descriptor, start, sizeof start, 0) == 2 && start[0] == 0x1F &&
               start[1] == 0x8B;
    return STATUS_OK;
}

static enum status open_archive(struct reading *reading)
{
    bool is_gzip = false;
    enum status status = open_file(reading, &is_gzip);
    if (status < 0)
        return status;
    struct archive *archive = reading->archive = archive_read_new();
    if (archive == NULL)
        return status_set(STATUS_MEMORY, "no memory to read %s", reading->job->name);
    archive_read_support_filter_bzip2(archive);
    archive_read_support_filter_xz(archive);
    archive_read_support_filter_zstd(archive);
    archive_read_support_format_empty(archive);
    if (reading->job->n_wants == 1 && reading->job->wants[0].member == NULL) {
        archive_read_support_format_raw(archive);
    } else {
        archive_read_support_format_tar(archive);
        archive_read_support_format_zip(archive);
    }
    if (!is_gzip) /* libarchive may seek then, which .zip files like */
        return archive_read_open_fd(archive, reading->descriptor, BLOCK_BYTES) == ARCHIVE_OK
                   ? STATUS_OK
                   : library_failure(reading);
    if ((status = gunzip_open(&reading->outer, read_file, reading, reading->job->name)) < 0)
        return status;
    return archive_read_open(archive, reading, NULL, read_outer, NULL) == ARCHIVE_OK
               ? STATUS_OK
               : library_failure(reading);
}

enum status unpack_run(const struct unpack_job *job, int64_t *n_members)
{
    struct reading *reading = calloc(1, sizeof *reading);
    size_t *nearest = malloc((job->n_wants + 1) * sizeof *nearest);
    enum status status = STATUS_OK;
    *n_members = 0;
    if (reading == NULL || nearest == NULL) {
        status = status_set(STATUS_MEMORY, "no memory to read %s", job->name);
        goto done;
    }
    reading->job = job;
    reading->descriptor = -1;
    for (size_t i = 0; i < job->n_wants; i++) {
        nearest[i] = SIZE_MAX;
        job->wants[i].is_found = false;
        job->wants[i].nearest[0] = '\0';
    }
    if ((status = open_archive(reading)) == STATUS_OK &&
        (status = visit_all(reading, nearest, n_members)) == STATUS_OK)
        status = drain(reading);
    if (status == STATUS_OK)
        status = take_empty(job);
done:
    if (reading != NULL) {
        if (reading->archive != NULL)
            archive_read_free(reading->archive);
        gunzip_close(reading->outer);
        if (reading->descriptor >= 0)
            close(reading->descriptor);
    }
    free(nearest);
    free(reading);
    return status;
}
