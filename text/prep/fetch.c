/* Fetching by libcurl.
 *
 * A part is continued with a Range request, guarded by If-Range where the server named the file's
 * state (ETag or Last-Modified) and the address is the same one. A server that sends the file from
 * its beginning nevertheless is taken at its word. */
#include "text/prep/fetch.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/clock.h"

enum { STATE_BYTES = 256, URL_BYTES = 4096, MAX_REDIRECTS = 10, CONNECT_S = 30 };

/* The pause after a try without a new byte; doubled each time. */
static const double first_pause_s = 0.5;

/* What the server said in the last response's header. */
struct response {
    int64_t range_start;     /* of Content-Range; -1 without it */
    int64_t range_total;     /* the whole file's size there; -1 where it is not stated */
    char state[STATE_BYTES]; /* strong ETag, else Last-Modified; "" without either */
};

/* How a try ended. */
enum outcome {
    OUTCOME_DONE,
    OUTCOME_AGAIN,  /* the connection broke, or the server is busy */
    OUTCOME_RESTART /* what the part holds is of no use */
};

struct transfer {
    const struct fetch_request *request;
    CURL *curl;
    int descriptor;
    int64_t start;  /* bytes in the part when the try began */
    int64_t offset; /* bytes in the part */
    int64_t total;  /* of the whole file, 0 while not known */
    bool is_begun;  /* the response's first byte came */
    bool is_restarted;
    bool is_stalled;     /* nothing came for too long */
    double heard_s;      /* clock_seconds() when something came last */
    enum status failure; /* of a callback; its message stands */
    struct response response;
    char error[CURL_ERROR_SIZE];
};

static void tag_path(const char *part, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s.tag", part);
}

void fetch_forget(const char *part)
{
    char tag[PATH_MAX];
    tag_path(part, tag);
    unlink(tag);
    unlink(part);
}

/* Remembers what the part is a part of; a tag that cannot be written only costs a restart. */
static void write_tag(const struct transfer *transfer)
{
    char path[PATH_MAX];
    tag_path(transfer->request->part, path);
    FILE *stream = fopen(path, "wb");
    if (stream == NULL)
        return;
    fprintf(stream, "%s\n%s\n", transfer->request->url, transfer->response.state);
    const bool is_written = ferror(stream) == 0;
    if (fclose(stream) != 0 || !is_written)
        unlink(path);
}

/* The state of the file that the part was begun from; "" where it is not known or was fetched from
 * another address. */
static void read_tag(const struct fetch_request *request, char state[STATE_BYTES])
{
    char path[PATH_MAX], url[URL_BYTES];
    state[0] = '\0';
    tag_path(request->part, path);
    FILE *stream = fopen(path, "rb");
    if (stream == NULL)
        return;
    if (fgets(url, sizeof url, stream) != NULL && fgets(state, STATE_BYTES, stream) != NULL) {
        url[strcspn(url, "\n")] = '\0';
        state[strcspn(state, "\n")] = '\0';
        if (strcmp(url, request->url) != 0)
            state[0] = '\0';
    } else {
        state[0] = '\0';
    }
    fclose(stream);
}

/* The value of the header line, without white space around it, where the line has that name. */
static bool header_value(const char *line, size_t size, const char *name, char value[STATE_BYTES])
{
    const size_t length = strlen(name);
    if (size <= length || strncasecmp(line, name, length) != 0)
        return false;
    line += length;
    size -= length;
    while (size > 0 && isspace((unsigned char)*line)) {
        line++;
        size--;
    }
    while (size > 0 && isspace((unsigned char)line[size - 1]))
        size--;
    if (size >= STATE_BYTES || memchr(line, '\n', size) != NULL || memchr(line, '\0', size) != NULL)
        return false;
    memcpy(value, line, size);
    value[size] = '\0';
    return true;
}

static size_t take_header(char *line, size_t one, size_t size, void *context)
{
    struct response *response = context;
    char value[STATE_BYTES];
    size *= one;
    if (size >= 5 && strncasecmp(line, "HTTP/", 5) == 0) {
        *response = (struct response){.range_start = -1, .range_total = -1};
    } else if (header_value(line, size, "content-range:", value)) {
        int64_t start = -1, end = -1, total = -1;
        if (sscanf(value, "bytes %" SCNd64 "-%" SCNd64 "/%" SCNd64, &start, &end, &total) >= 2)
            response->range_start = start;
        else
            (void)sscanf(value, "bytes */%" SCNd64, &total);
        response->range_total = total;
    } else if (header_value(line, size, "etag:", value)) {
        if (value[0] == '"')
            memcpy(response->state, value, sizeof value);
    } else if (header_value(line, size, "last-modified:", value)) {
        if (response->state[0] == '\0')
            memcpy(response->state, value, sizeof value);
    }
    return size;
}

static enum status cannot_write(const struct transfer *transfer)
{
    return status_set(STATUS_FAILED, "cannot write %s: %s", transfer->request->part,
                      strerror(errno));
}

static enum status empty_part(struct transfer *transfer)
{
    if (ftruncate(transfer->descriptor, 0) != 0 || lseek(transfer->descriptor, 0, SEEK_SET) != 0)
        return cannot_write(transfer);
    transfer->offset = 0;
    return STATUS_OK;
}

/* The server states another size than the published one. */
static enum status check_total(const struct transfer *transfer)
{
    const int64_t wanted = transfer->request->bytes;
    if (wanted == 0 || transfer->total <= 0 || transfer->total == wanted)
        return STATUS_OK;
    return status_set(STATUS_FORMAT, "%s has %" PRId64 " bytes, but %" PRId64 " were published",
                      transfer->request->url, transfer->total, wanted);
}

/* At the first byte: is it the file's beginning or its continuation? */
static enum status begin(struct transfer *transfer)
{
    long code = 0;
    curl_off_t length = -1;
    enum status status = STATUS_OK;
    transfer->is_begun = true;
    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &code);
    curl_easy_getinfo(transfer->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (code == 206 && transfer->response.range_start != transfer->start) {
        transfer->is_restarted = true;
        return status_set(STATUS_IO, "%s: the server sent another range than the one asked for",
                          transfer->request->url);
    }
    if (code != 206 && transfer->start > 0 && (status = empty_part(transfer)) < 0)
        return status;
    transfer->total = length >= 0 ? transfer->offset + (int64_t)length : 0;
    if ((status = check_total(transfer)) < 0)
        return status;
    write_tag(transfer);
    return STATUS_OK;
}

static size_t take_bytes(char *bytes, size_t one, size_t size, void *context)
{
    struct transfer *transfer = context;
    const struct fetch_request *request = transfer->request;
    size *= one;
    if (!transfer->is_begun && (transfer->failure = begin(transfer)) < 0)
        return 0;
    transfer->heard_s = clock_seconds();
    if (request->bytes > 0 && (int64_t)size > request->bytes - transfer->offset) {
        (void)empty_part(transfer); /* of another file; of no use */
        transfer->failure =
            status_set(STATUS_FORMAT, "%s has more than the %" PRId64 " bytes that were published",
                       request->url, request->bytes);
        return 0;
    }
    for (size_t done = 0; done < size;) {
        const ssize_t written = write(transfer->descriptor, bytes + done, size - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            transfer->failure = cannot_write(transfer);
            return 0;
        }
        done += (size_t)written;
        transfer->offset += written;
    }
    return size;
}

static int take_progress(void *context, curl_off_t total, curl_off_t now, curl_off_t upload_total,
                         curl_off_t upload_now)
{
    struct transfer *transfer = context;
    const struct fetch_request *request = transfer->request;
    (void)total, (void)now, (void)upload_total, (void)upload_now;
    transfer->is_stalled = clock_seconds() - transfer->heard_s > (double)request->timeout_s;
    if (transfer->is_stalled)
        return 1;
    const int64_t whole = request->bytes > 0 ? request->bytes : transfer->total;
    return watch_goes_on(&request->watch, transfer->offset, whole) ? 0 : 1;
}

static void set_protocols(CURL *curl)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
}

static void set_options(struct transfer *transfer, const char *range)
{
    const struct fetch_request *request = transfer->request;
    const long timeout_s = (long)request->timeout_s;
    CURL *curl = transfer->curl;
    curl_easy_reset(curl);
    set_protocols(curl);
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "mixt");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)MAX_REDIRECTS);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, timeout_s < CONNECT_S ? timeout_s : CONNECT_S);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer->response);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, take_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    if (range[0] != '\0')
        curl_easy_setopt(curl, CURLOPT_RANGE, range);
}

/* An answer of 400 or more. */
static enum status refused(struct transfer *transfer, enum outcome *outcome)
{
    const int64_t wanted = transfer->request->bytes;
    long code = 0;
    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &code);
    const int64_t total = transfer->response.range_total;
    if (code == 416 && transfer->start > 0 && total == transfer->start && wanted > 0)
        return status_set(STATUS_FORMAT, "%s has %" PRId64 " bytes, but %" PRId64 " were published",
                          transfer->request->url, total, wanted);
    status_set(STATUS_IO, "cannot fetch %s: the server answered %ld", transfer->request->url, code);
    if (code == 416 && transfer->start > 0) {
        *outcome = total == transfer->start ? OUTCOME_DONE : OUTCOME_RESTART;
        return STATUS_OK;
    }
    *outcome = OUTCOME_AGAIN;
    return code == 408 || code == 429 || code >= 500 ? STATUS_OK : STATUS_IO;
}

/* What a finished try means. A failure is final for this address; otherwise outcome says how to go
 * on, with the reason as the message. */
static enum status judge(struct transfer *transfer, CURLcode code, enum outcome *outcome)
{
    const struct fetch_request *request = transfer->request;
    if (code == CURLE_OK && !transfer->is_begun)
        transfer->failure = begin(transfer); /* an empty file */
    *outcome = OUTCOME_RESTART;
    if (transfer->is_restarted)
        return STATUS_OK;
    if (transfer->failure < 0)
        return transfer->failure;
    *outcome = OUTCOME_AGAIN;
    switch (code) {
    case CURLE_OK:
        *outcome = OUTCOME_DONE;
        if (request->bytes > 0 && transfer->offset < request->bytes) {
            status_set(STATUS_IO,
                       "cannot fetch %s: it ended after %" PRId64 " of %" PRId64 " bytes",
                       request->url, transfer->offset, request->bytes);
            *outcome = OUTCOME_AGAIN;
        }
        return STATUS_OK;
    case CURLE_HTTP_RETURNED_ERROR:
        return refused(transfer, outcome);
    case CURLE_ABORTED_BY_CALLBACK:
        if (!transfer->is_stalled)
            return status_set(STATUS_INTERRUPTED, "interrupted");
        status_set(STATUS_IO, "cannot fetch %s: nothing came for %" PRId64 " s", request->url,
                   request->timeout_s);
        return STATUS_OK;
    case CURLE_OUT_OF_MEMORY:
        return status_set(STATUS_MEMORY, "no memory to fetch %s", request->url);
    default:
        status_set(STATUS_IO, "cannot fetch %s: %s", request->url,
                   transfer->error[0] ? transfer->error : curl_easy_strerror(code));
        break;
    }
    const bool is_final = code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT ||
                          code == CURLE_TOO_MANY_REDIRECTS || code == CURLE_SSL_CACERT_BADFILE ||
                          code == CURLE_PEER_FAILED_VERIFICATION;
    return is_final ? STATUS_IO : STATUS_OK;
}

/* Asks once, for what the part does not have. */
static enum status try_once(struct transfer *transfer, enum outcome *outcome)
{
    const struct fetch_request *request = transfer->request;
    char state[STATE_BYTES], range[32] = "", guard[STATE_BYTES + 16];
    struct curl_slist *headers = NULL;
    enum status status = STATUS_OK;
    read_tag(request, state);
    const bool is_too_large = request->bytes > 0 && transfer->offset > request->bytes;
    if (is_too_large || (state[0] == '\0' && !request->is_checked)) {
        if ((status = empty_part(transfer)) < 0)
            return status;
    }
    transfer->start = transfer->offset;
    transfer->total = 0;
    transfer->is_begun = false;
    transfer->is_restarted = false;
    transfer->is_stalled = false;
    transfer->heard_s = clock_seconds();
    transfer->failure = STATUS_OK;
    transfer->response = (struct response){.range_start = -1, .range_total = -1};
    transfer->error[0] = '\0';
    if (transfer->start > 0)
        snprintf(range, sizeof range, "%" PRId64 "-", transfer->start);
    set_options(transfer, range);
    if (transfer->start > 0 && state[0] != '\0') {
        snprintf(guard, sizeof guard, "If-Range: %s", state);
        headers = curl_slist_append(NULL, guard);
        curl_easy_setopt(transfer->curl, CURLOPT_HTTPHEADER, headers);
    }
    const CURLcode code = curl_easy_perform(transfer->curl);
    status = judge(transfer, code, outcome);
    curl_slist_free_all(headers);
    if (status == STATUS_OK && *outcome == OUTCOME_RESTART)
        status = empty_part(transfer);
    return status;
}

/* Sleeps, and looks for a wish to stop. */
static enum status pause_s(const struct transfer *transfer, double seconds)
{
    const double end_s = clock_seconds() + seconds;
    while (clock_seconds() < end_s) {
        if (!watch_goes_on(&transfer->request->watch, transfer->offset, transfer->request->bytes))
            return status_set(STATUS_INTERRUPTED, "interrupted");
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    return STATUS_OK;
}

/* Tries until the file is whole. */
static enum status try_often(struct transfer *transfer)
{
    int64_t furthest = transfer->offset;
    double next_pause_s = first_pause_s;
    for (int n_vain = 0; n_vain < FETCH_TRIES;) {
        enum outcome outcome = OUTCOME_AGAIN;
        enum status status = try_once(transfer, &outcome);
        if (status < 0 || outcome == OUTCOME_DONE)
            return status;
        n_vain++;
        if (transfer->offset > furthest) {
            furthest = transfer->offset;
            n_vain = 0;
            next_pause_s = first_pause_s;
        }
        if (n_vain == FETCH_TRIES)
            break;
        if ((status = pause_s(transfer, n_vain == 0 ? first_pause_s : next_pause_s)) < 0)
            return status;
        next_pause_s *= 2;
    }
    return STATUS_IO; /* with the message of the last try */
}

static enum status fetch_to(struct transfer *transfer)
{
    struct stat information;
    if (fstat(transfer->descriptor, &information) != 0 || !S_ISREG(information.st_mode))
        return status_set(STATUS_FAILED, "%s is not a file", transfer->request->part);
    transfer->offset = information.st_size;
    if (lseek(transfer->descriptor, 0, SEEK_END) < 0)
        return cannot_write(transfer);
    if (transfer->request->bytes > 0 && transfer->offset == transfer->request->bytes)
        return STATUS_OK;
    transfer->curl = curl_easy_init();
    if (transfer->curl == NULL)
        return status_set(STATUS_MEMORY, "no memory to fetch %s", transfer->request->url);
    const enum status status = try_often(transfer);
    curl_easy_cleanup(transfer->curl);
    return status;
}

enum status fetch_file(const struct fetch_request *request)
{
    char tag[PATH_MAX];
    struct transfer transfer = {.request = request};
    transfer.descriptor = open(request->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (transfer.descriptor < 0)
        return status_set(STATUS_FAILED, "cannot create %s: %s", request->part, strerror(errno));
    curl_global_init(CURL_GLOBAL_DEFAULT);
    enum status status = fetch_to(&transfer);
    curl_global_cleanup();
    if (status == STATUS_OK && fsync(transfer.descriptor) != 0)
        status = cannot_write(&transfer);
    if (close(transfer.descriptor) != 0 && status == STATUS_OK)
        status = cannot_write(&transfer);
    if (status == STATUS_FAILED || (status < 0 && transfer.offset == 0)) {
        fetch_forget(request->part);
    } else if (status == STATUS_OK) {
        tag_path(request->part, tag);
        unlink(tag);
    }
    return status;
}
