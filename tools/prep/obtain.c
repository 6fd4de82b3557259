/* Getting the archives: from a folder, a mirror or the published addresses. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "text/prep/fetch.h"
#include "tools/prep/meter.h"
#include "tools/prep/work.h"

static bool is_address(const char *from)
{
    return strncasecmp(from, "http://", 7) == 0 || strncasecmp(from, "https://", 8) == 0;
}

bool work_is_local(const struct work *work)
{
    return work->values->from != NULL && !is_address(work->values->from);
}

static bool is_file(const char *path)
{
    struct stat information;
    return stat(path, &information) == 0 && S_ISREG(information.st_mode);
}

/* The part of an address behind the server: "wmt13/test.tgz". */
static const char *address_path(const char *url)
{
    const char *host = strstr(url, "://");
    const char *slash = host == NULL ? NULL : strchr(host + 3, '/');
    return slash == NULL ? "" : slash + 1;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

/* Whether an address of another archive ends in the same name, as ".../test.tgz". */
static bool is_shared_name(const struct work *work, size_t i, const char *name)
{
    for (size_t j = 0; j < work->dataset->n_archives; j++) {
        const struct dataset_archive *other = &work->dataset->archives[j];
        if (j == i)
            continue;
        if (strcmp(other->name, name) == 0)
            return true;
        for (size_t u = 0; u < DATASET_MAX_URLS && other->urls[u] != NULL; u++) {
            if (strcmp(base_name(address_path(other->urls[u])), name) == 0)
                return true;
        }
    }
    return false;
}

/* Would leave the folder it is looked for in. */
static bool climbs(const char *path)
{
    return path[0] == '/' || strcmp(path, "..") == 0 || strncmp(path, "../", 3) == 0 ||
           strstr(path, "/../") != NULL ||
           (strlen(path) > 3 && strcmp(path + strlen(path) - 3, "/..") == 0);
}

/* Sets *path where the folder has a file of this name and none was found before. */
static enum status look_for(const char *folder, const char *name, char **path)
{
    if (*path != NULL || name[0] == '\0' || climbs(name))
        return STATUS_OK;
    char *candidate = work_path(folder, name);
    if (candidate == NULL)
        return STATUS_MEMORY;
    if (is_file(candidate))
        *path = candidate;
    else
        free(candidate);
    return STATUS_OK;
}

/* By its name here, or where an address has it: FOLDER/wmt13/test.tgz, FOLDER/test.tgz. */
static enum status find_archive(const struct work *work, size_t i, char **path)
{
    const struct dataset_archive *archive = &work->dataset->archives[i];
    const char *folder = work->values->from;
    enum status status = look_for(folder, archive->name, path);
    for (size_t u = 0; u < DATASET_MAX_URLS && archive->urls[u] != NULL; u++) {
        const char *place = address_path(archive->urls[u]);
        if (status == STATUS_OK)
            status = look_for(folder, place, path);
        if (status == STATUS_OK && !is_shared_name(work, i, base_name(place)))
            status = look_for(folder, base_name(place), path);
    }
    return status;
}

enum status work_find_loose(const struct work *work, const struct work_piece *piece, char **path)
{
    static const char ending[] = ".gz";
    const size_t n_ending = strlen(ending);
    char name[DATASET_MEMBER_BYTES + sizeof ending];
    *path = NULL;
    if (!work_is_local(work))
        return STATUS_OK;
    snprintf(name, sizeof name, "%s",
             piece->member != NULL ? piece->member : work->dataset->archives[piece->archive].name);
    const char *folder = work->values->from;
    enum status status = STATUS_OK;
    for (int round = 0; round < 2 && status == STATUS_OK; round++) {
        const size_t size = strlen(name);
        if (piece->member != NULL || round > 0)
            status = look_for(folder, name, path);
        if (status == STATUS_OK && piece->member != NULL)
            status = look_for(folder, base_name(name), path);
        if (size > n_ending && strcmp(name + size - n_ending, ending) == 0)
            name[size - n_ending] = '\0';
        else
            memcpy(name + size, ending, sizeof ending);
    }
    return status;
}

/* Whether the file is the published one, by size before it is read, then by its hashes. */
static enum status compare_archive(const struct dataset_archive *archive, const char *path,
                                   const struct digest_result *found)
{
    enum status status = STATUS_OK;
    struct stat information;
    if (archive->bytes > 0 && stat(path, &information) == 0 &&
        information.st_size != archive->bytes)
        status =
            status_set(STATUS_FORMAT, "%s has %" PRId64 " bytes, but %" PRId64 " were published",
                       path, (int64_t)information.st_size, archive->bytes);
    else if (found != NULL && archive->sha256 != NULL &&
             strcmp(archive->sha256, found->sha256) != 0)
        status = status_set(STATUS_FORMAT, "%s has the SHA-256 %s, but %s was published", path,
                            found->sha256, archive->sha256);
    else if (found != NULL && archive->md5 != NULL && strcmp(archive->md5, found->md5) != 0)
        status = status_set(STATUS_FORMAT, "%s has the MD5 %s, but %s was published", path,
                            found->md5, archive->md5);
    if (status < 0)
        status_hint(
            "it is cut, damaged or another file: get it again, or take it with --no-verify");
    return status;
}

/* Fills state->digest, and compares. */
static enum status verify(const struct work *work, size_t i, const char *path)
{
    const struct dataset_archive *archive = &work->dataset->archives[i];
    struct work_archive *state = &work->archives[i];
    enum status status = STATUS_OK;
    if (!work->values->no_verify && (status = compare_archive(archive, path, NULL)) < 0)
        return status;
    struct meter meter;
    const struct watch watch = meter_start(&meter, "checking", archive->name);
    status = digest_file(path, archive->md5 != NULL, &watch, &state->digest);
    meter_end(&meter);
    if (status < 0 || (status = compare_archive(archive, path, &state->digest)) == STATUS_OK)
        return status;
    if (!work->values->no_verify)
        return status;
    state->is_other = true;
    return STATUS_OK;
}

static bool has_hash(const struct dataset_archive *archive)
{
    return archive->sha256 != NULL || archive->md5 != NULL;
}

/* Fetches from one address into part and verifies; a part that was continued and turns out wrong is
 * fetched once more from its beginning. */
static enum status fetch_from(const struct work *work, size_t i, const char *url, const char *part)
{
    const struct dataset_archive *archive = &work->dataset->archives[i];
    const bool is_checked = has_hash(archive) && !work->values->no_verify;
    enum status status = STATUS_OK;
    for (int round = 0; round < 2; round++) {
        const bool was_begun = is_file(part);
        struct meter meter;
        const int64_t timeout_s = work->values->timeout_s;
        const struct fetch_request request = {
            .url = url,
            .part = part,
            .bytes = work->values->no_verify ? 0 : archive->bytes,
            .is_checked = is_checked,
            .timeout_s = timeout_s > 0 ? timeout_s : PREP_DATASET_TIMEOUT_S,
            .watch = meter_start(&meter, "fetching", archive->name),
        };
        status = fetch_file(&request);
        meter_end(&meter);
        if (status < 0 || (status = verify(work, i, part)) != STATUS_FORMAT)
            return status;
        fetch_forget(part);
        status_set(status, "%s: what came from there: %s", url, status_message());
        if (!was_begun)
            break;
    }
    return status;
}

/* Tries the addresses in turn. */
static enum status fetch_archive(const struct work *work, size_t i, const char *const *urls,
                                 size_t n_urls, const char *path)
{
    struct failure first = {0};
    struct buffer part = {0};
    enum status status = buffer_printf(&part, "%s.part", path);
    if (status < 0)
        return status;
    for (size_t u = 0; u < n_urls; u++) {
        status = fetch_from(work, i, urls[u], part.data);
        if (status == STATUS_OK || failure_is_final(status))
            break;
        failure_keep(&first, status);
        if (u + 1 < n_urls)
            fprintf(stderr, "mixt: %s; trying %s\n", status_message(), urls[u + 1]);
    }
    if (status < 0 && !failure_is_final(status))
        status = failure_return(&first);
    if (status == STATUS_OK && rename(part.data, path) != 0)
        status = status_set(STATUS_IO, "cannot rename to %s: %s", path, strerror(errno));
    failure_free(&first);
    buffer_free(&part);
    return status;
}

/* BASE/wmt13/test.tgz and BASE/wmt13-test.tgz, for a mirror; owned strings. */
static enum status list_mirror(const struct work *work, size_t i, char *urls[DATASET_MAX_URLS + 1],
                               size_t *n_urls)
{
    const struct dataset_archive *archive = &work->dataset->archives[i];
    for (size_t u = 0; u <= DATASET_MAX_URLS; u++) {
        const bool is_last = u == DATASET_MAX_URLS || archive->urls[u] == NULL;
        const char *name = is_last ? archive->name : address_path(archive->urls[u]);
        char *url = work_path(work->values->from, name);
        bool is_new = name[0] != '\0';
        if (url == NULL)
            return STATUS_MEMORY;
        for (size_t k = 0; k < *n_urls; k++)
            is_new = is_new && strcmp(urls[k], url) != 0;
        if (is_new)
            urls[(*n_urls)++] = url;
        else
            free(url);
        if (is_last)
            break;
    }
    return STATUS_OK;
}

/* A file from an earlier run, of the right size and hashes; one without known hashes is trusted. */
static bool is_there(const struct work *work, size_t i, const char *path)
{
    return is_file(path) && verify(work, i, path) == STATUS_OK;
}

static enum status obtain_by_network(struct work *work, size_t i)
{
    const struct dataset_archive *archive = &work->dataset->archives[i];
    char *urls[DATASET_MAX_URLS + 1];
    size_t n_urls = 0;
    enum status status = file_make_directories(work->downloads);
    char *path = work_path(work->downloads, archive->name);
    if (path == NULL)
        return STATUS_MEMORY;
    if (status == STATUS_OK && !is_there(work, i, path)) {
        if (work->values->from != NULL) {
            if ((status = list_mirror(work, i, urls, &n_urls)) == STATUS_OK)
                status = fetch_archive(work, i, (const char *const *)urls, n_urls, path);
        } else if (archive->urls[0] == NULL) {
            status = status_set(STATUS_IO, "no address of %s is known", archive->name);
            status_hint("--from FOLDER takes archives from a folder");
        } else {
            size_t n_known = 0;
            while (n_known < DATASET_MAX_URLS && archive->urls[n_known] != NULL)
                n_known++;
            status = fetch_archive(work, i, archive->urls, n_known, path);
        }
    }
    while (n_urls > 0)
        free(urls[--n_urls]);
    if (status == STATUS_OK)
        work->archives[i].path = path;
    else
        free(path);
    return status;
}

enum status work_obtain(struct work *work, size_t i)
{
    if (!work_is_local(work))
        return obtain_by_network(work, i);
    struct work_archive *state = &work->archives[i];
    char *path = NULL;
    enum status status = find_archive(work, i, &path);
    if (status == STATUS_OK && path == NULL) {
        const struct dataset_archive *archive = &work->dataset->archives[i];
        status = status_set(STATUS_IO, "%s has neither %s nor the texts in it", work->values->from,
                            archive->name);
        if (archive->urls[0] != NULL)
            status_hint("without --from it is fetched from %s", archive->urls[0]);
    }
    if (status == STATUS_OK)
        status = verify(work, i, path);
    if (status == STATUS_OK)
        state->path = path;
    else
        free(path);
    return status;
}
