/* A verb that reads lines, on many slots: each range of lines by itself. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "tools/launch/launch.h"

/* Several ranges a slot, so that a slow one holds up less and a failed one costs less; but long
 * enough that loading the model is a small part. */
enum { RANGES_A_SLOT = 4, LEAST_LINES = 1000 };

struct range {
    const char *text; /* of the input */
    size_t size;
    int64_t first, lines; /* the first's number, from 0, and how many */
    int64_t failures;
    FILE *output;      /* owned; what came back */
    int64_t out_lines; /* of a range that is done */
    bool is_taken, is_done;
};

struct slot {
    const struct host *host; /* NULL: this machine */
    struct range *range;     /* while it works */
    pid_t pid;
    double rests_until; /* after a failure; clock_seconds() */
};

struct spread {
    const struct launch_job *job;
    char *input; /* mapped */
    size_t size;
    int64_t n_lines, n_done;
    struct range *ranges; /* owned */
    size_t n_ranges;
    struct slot *slots; /* owned */
    size_t n_slots;
    char *folder;  /* owned; of the output, for what waits to be joined */
    char *current; /* owned; where commands run */
};

/* -- input -- */

static enum status map_input(struct spread *spread)
{
    const char *path = spread->job->options->input;
    struct stat stat;
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &stat) != 0) {
        const int error = errno;
        if (file >= 0)
            close(file);
        return status_set(STATUS_IO, "cannot read %s: %s", path, strerror(error));
    }
    void *data = NULL;
    if (S_ISREG(stat.st_mode) && stat.st_size > 0)
        data = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    if (!S_ISREG(stat.st_mode))
        return status_set(STATUS_IO, "%s: ranges of lines want a file that stays, not a pipe",
                          path);
    if (data == MAP_FAILED)
        return status_set(STATUS_IO, "cannot map %s: %s", path, strerror(errno));
    spread->input = data;
    spread->size = (size_t)stat.st_size;
    return STATUS_OK;
}

/* Lines of a text; a last one without its end counts. */
static int64_t count_lines(const char *text, size_t size)
{
    int64_t count = 0;
    const char *const end = text + size;
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        count++;
        text = newline ? newline + 1 : end;
    }
    return count;
}

/* The next n lines from *text on, up to end. */
static struct range take_lines(const char **text, const char *end, int64_t n)
{
    struct range range = {.text = *text, .lines = n};
    for (; n > 0; n--) {
        const char *newline = memchr(*text, '\n', (size_t)(end - *text));
        *text = newline ? newline + 1 : end;
    }
    range.size = (size_t)(*text - range.text);
    return range;
}

static enum status cut_input(struct spread *spread)
{
    spread->n_lines = count_lines(spread->input, spread->size);
    int64_t count = (int64_t)spread->n_slots * RANGES_A_SLOT;
    if (count * LEAST_LINES > spread->n_lines)
        count = (spread->n_lines + LEAST_LINES - 1) / LEAST_LINES;
    spread->ranges = calloc((size_t)count + 1, sizeof *spread->ranges);
    if (!spread->ranges)
        return status_set(STATUS_MEMORY, "no memory for %" PRId64 " ranges", count);
    const char *text = spread->input;
    for (int64_t i = 0; i < count; i++) {
        const int64_t first = spread->n_lines * i / count, end = spread->n_lines * (i + 1) / count;
        spread->ranges[i] = take_lines(&text, spread->input + spread->size, end - first);
        spread->ranges[i].first = first;
    }
    spread->n_ranges = (size_t)count;
    return STATUS_OK;
}

static enum status make_slots(struct spread *spread)
{
    const struct hosts *hosts = spread->job->hosts;
    const int64_t wanted = spread->job->options->ranks;
    int64_t count = hosts->count ? hosts_slots(hosts) : wanted;
    if (wanted > 0 && wanted < count)
        count = wanted;
    spread->slots = calloc((size_t)count, sizeof *spread->slots);
    if (!spread->slots)
        return status_set(STATUS_MEMORY, "no memory for %" PRId64 " slots", count);
    spread->n_slots = (size_t)count;
    size_t n = 0;
    for (size_t i = 0; i < hosts->count; i++) {
        for (int64_t s = 0; hosts->items[i].is_there && s < hosts->items[i].slots; s++) {
            if (n < spread->n_slots)
                spread->slots[n++].host = &hosts->items[i];
        }
    }
    return STATUS_OK;
}

static enum status find_folders(struct spread *spread)
{
    char *copy = strdup(spread->job->options->output);
    if (copy)
        spread->folder = strdup(dirname(copy));
    free(copy);
    spread->current = realpath(".", NULL);
    return spread->folder && spread->current
               ? STATUS_OK
               : status_set(STATUS_FAILED, "cannot name the folder: %s", strerror(errno));
}

/* -- working -- */

/* A file without a name that holds the range's text, at its start. */
static FILE *write_range(const struct spread *spread, const struct range *range)
{
    FILE *file = file_temporary(spread->folder);
    if (file && (fwrite(range->text, 1, range->size, file) != range->size || fflush(file) != 0 ||
                 fseek(file, 0, SEEK_SET) != 0)) {
        fclose(file);
        file = NULL;
    }
    return file;
}

static enum status start_range(struct spread *spread, struct slot *slot, struct range *range)
{
    struct words line = {0};
    FILE *const input = write_range(spread, range);
    range->output = file_temporary(spread->folder);
    enum status status = STATUS_OK;
    if (!input || !range->output)
        status =
            status_set(STATUS_IO, "%s: cannot write there: %s", spread->folder, strerror(errno));
    if (slot->host) {
        words_add_cut(&line, spread->job->hosts->agent);
        words_add(&line, slot->host->name);
        words_add_quoted(&line, spread->current, spread->job->command);
    } else {
        for (size_t i = 0; i < spread->job->command->count; i++)
            words_add(&line, spread->job->command->items[i]);
    }
    if (status >= 0)
        status = process_start(&slot->pid, &line, fileno(input), fileno(range->output), -1);
    if (input)
        fclose(input);
    words_free(&line);
    if (status < 0)
        return status;
    slot->range = range;
    range->is_taken = true;
    return STATUS_OK;
}

static struct range *find_range(struct spread *spread)
{
    for (size_t i = 0; i < spread->n_ranges; i++) {
        if (!spread->ranges[i].is_taken)
            return &spread->ranges[i];
    }
    return NULL;
}

/* Gives idle slots work; *pause is how long until one of them has rested, negative where none
 * rests. */
static enum status hand_out(struct spread *spread, double *pause)
{
    const double now = clock_seconds();
    *pause = -1;
    for (size_t i = 0; i < spread->n_slots; i++) {
        struct slot *slot = &spread->slots[i];
        struct range *range = slot->range ? NULL : find_range(spread);
        const double left = slot->rests_until - now;
        if (!range)
            continue;
        if (left > 0) {
            *pause = *pause < 0 || left < *pause ? left : *pause;
            continue;
        }
        const enum status status = start_range(spread, slot, range);
        if (status < 0)
            return status;
    }
    return STATUS_OK;
}

static int64_t count_output(FILE *file)
{
    char block[1 << 16];
    int64_t count = 0;
    size_t size;
    rewind(file);
    while ((size = fread(block, 1, sizeof block, file)) > 0) {
        for (size_t i = 0; i < size; i++)
            count += block[i] == '\n';
    }
    return ferror(file) ? -1 : count;
}

/* Keeps what came back where it is whole; else the range is free again, unless it failed too often
 * or will never succeed, which is the job's failure with the exit code in *code. */
static enum status finish_range(struct spread *spread, struct slot *slot, int ended, int *code)
{
    const struct launch_options *options = spread->job->options;
    struct range *range = slot->range;
    const int64_t first = range->first + 1, last = range->first + range->lines;
    slot->range = NULL;
    range->out_lines = ended == 0 ? count_output(range->output) : -1;
    /* n-best lists give several lines for each. */
    if (range->out_lines >= range->lines && range->out_lines % range->lines == 0) {
        range->is_done = true;
        spread->n_done += range->lines;
        fprintf(stderr, "launch: %" PRId64 " of %" PRId64 " lines\n", spread->n_done,
                spread->n_lines);
        return STATUS_OK;
    }
    fclose(range->output);
    range->output = NULL;
    range->is_taken = false;
    slot->rests_until = clock_seconds() + options->pause_s;
    const bool is_final = ended == 2 || ended == 3;
    if (is_final || ++range->failures > options->restarts) {
        *code = ended ? ended : 1;
        return status_set(STATUS_FAILED, "lines %" PRId64 " to %" PRId64 " failed%s (exit code %d)",
                          first, last, is_final ? "" : " too often", ended);
    }
    fprintf(stderr,
            "launch: lines %" PRId64 " to %" PRId64 "%s%s: exit code %d, %" PRId64
            " lines back; again\n",
            first, last, slot->host ? " on " : "", slot->host ? slot->host->name : "", ended,
            range->out_lines < 0 ? 0 : range->out_lines);
    return STATUS_OK;
}

static enum status work(struct spread *spread, int *code)
{
    while (spread->n_done < spread->n_lines) {
        double pause;
        enum status status = hand_out(spread, &pause);
        if (status < 0)
            return status;
        const struct ended ended = process_wait(pause);
        if (ended.signal) {
            *code = 128 + ended.signal;
            return STATUS_INTERRUPTED;
        }
        for (size_t i = 0; i < spread->n_slots && ended.pid; i++) {
            struct slot *slot = &spread->slots[i];
            if (slot->range && slot->pid == ended.pid) {
                status = finish_range(spread, slot, ended.code, code);
                if (status < 0)
                    return status;
                break;
            }
        }
    }
    return STATUS_OK;
}

/* -- output -- */

static enum status join(struct spread *spread)
{
    struct file_writer writer = {0};
    char block[1 << 16];
    enum status status = file_create(&writer, spread->job->options->output);
    for (size_t i = 0; i < spread->n_ranges && status >= 0; i++) {
        const struct range *range = &spread->ranges[i];
        if (range->out_lines * spread->ranges[0].lines !=
            spread->ranges[0].out_lines * range->lines)
            status = status_set(STATUS_FAILED,
                                "range %zu has another number of lines for each of "
                                "its own than the first",
                                i + 1);
        size_t size;
        rewind(range->output);
        while (status >= 0 && (size = fread(block, 1, sizeof block, range->output)) > 0)
            (void)fwrite(block, 1, size, writer.stream);
        if (status >= 0 && ferror(range->output))
            status = status_set(STATUS_IO, "cannot read what came back: %s", strerror(errno));
    }
    if (status >= 0)
        return file_commit(&writer);
    file_discard(&writer);
    return status;
}

/* Ends what still runs, and waits for it. */
static void stop_slots(struct spread *spread)
{
    for (size_t i = 0; i < spread->n_slots; i++) {
        if (spread->slots[i].range)
            process_signal(spread->slots[i].pid, SIGTERM);
    }
    for (size_t i = 0; i < spread->n_slots; i++) {
        while (spread->slots[i].range) {
            const struct ended ended = process_wait(10);
            if (!ended.pid && !ended.signal)
                process_signal(spread->slots[i].pid, SIGKILL);
            for (size_t s = 0; s < spread->n_slots; s++) {
                if (spread->slots[s].pid == ended.pid)
                    spread->slots[s].range = NULL;
            }
        }
    }
}

static void close_spread(struct spread *spread)
{
    stop_slots(spread);
    for (size_t i = 0; i < spread->n_ranges; i++) {
        if (spread->ranges[i].output)
            fclose(spread->ranges[i].output);
    }
    if (spread->input)
        munmap(spread->input, spread->size);
    free(spread->ranges);
    free(spread->slots);
    free(spread->folder);
    free(spread->current);
}

int launch_lines(const struct launch_job *job)
{
    struct spread spread = {.job = job};
    int signal = 0, code = 0;
    enum status status = map_input(&spread);
    if (status >= 0 && job->hosts->count)
        status = hosts_ask(job->hosts, &signal);
    if (status >= 0)
        status = make_slots(&spread);
    if (status >= 0)
        status = cut_input(&spread);
    if (status >= 0)
        status = find_folders(&spread);
    if (status >= 0)
        status = work(&spread, &code);
    if (status >= 0)
        status = join(&spread);
    if (status < 0 && status != STATUS_INTERRUPTED)
        status_print();
    if (code == 0)
        code = signal ? 128 + signal : status_exit_code(status);
    close_spread(&spread);
    return code;
}
