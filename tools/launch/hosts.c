/* The machines of a job. */
#include "tools/launch/hosts.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

enum { MOST_SLOTS = 1024 };
static const double ASK_S = 30; /* how long a host has to answer */

/* One "name" or "name:slots" of length bytes. */
static enum status read_host(struct host *host, const char *text, size_t length)
{
    const char *colon = memchr(text, ':', length);
    const size_t name_length = colon ? (size_t)(colon - text) : length;
    char *end = NULL;
    host->slots = colon ? strtoll(colon + 1, &end, 10) : 1;
    if (name_length == 0 || text[0] == '-' ||
        (colon && (end != text + length || end == colon + 1)) || host->slots < 1 ||
        host->slots > MOST_SLOTS)
        return status_set(STATUS_USAGE, "--hosts: '%.*s' is not HOST or HOST:RANKS", (int)length,
                          text);
    host->name = strndup(text, name_length);
    host->is_there = true;
    return host->name ? STATUS_OK : status_set(STATUS_MEMORY, "no memory for the hosts");
}

enum status hosts_read(struct hosts *hosts, const char *list, const char *agent)
{
    *hosts = (struct hosts){.agent = agent};
    enum status status = STATUS_OK;
    for (const char *text = list;; text++) {
        const size_t length = strcspn(text, ",");
        struct host *items = realloc(hosts->items, (hosts->count + 1) * sizeof *items);
        if (!items)
            return status_set(STATUS_MEMORY, "no memory for the hosts");
        hosts->items = items;
        items[hosts->count] = (struct host){0};
        status = read_host(&items[hosts->count], text, length);
        if (status < 0)
            return status;
        hosts->count++;
        text += length;
        if (!*text)
            return STATUS_OK;
    }
}

static enum status ask(struct host *host, const char *agent, int null)
{
    struct words command = {0};
    words_add_cut(&command, agent);
    words_add(&command, host->name);
    words_add(&command, "true");
    const enum status status = process_start(&host->asked, &command, null, null, -1);
    words_free(&command);
    return status;
}

static void note_answer(struct hosts *hosts, const struct ended *ended)
{
    for (size_t i = 0; i < hosts->count; i++) {
        struct host *host = &hosts->items[i];
        if (host->asked && host->asked == ended->pid) {
            host->is_there = ended->code == 0;
            host->asked = 0;
        }
    }
}

static bool is_asking(const struct hosts *hosts)
{
    for (size_t i = 0; i < hosts->count; i++) {
        if (hosts->items[i].asked)
            return true;
    }
    return false;
}

/* Ends the questions that are still open. */
static void give_up(struct hosts *hosts)
{
    for (size_t i = 0; i < hosts->count; i++) {
        if (hosts->items[i].asked)
            process_signal(hosts->items[i].asked, SIGKILL);
    }
    while (is_asking(hosts)) {
        const struct ended ended = process_wait(-1);
        note_answer(hosts, &ended);
    }
}

static void tell_missing(const struct hosts *hosts)
{
    for (size_t i = 0; i < hosts->count; i++) {
        if (!hosts->items[i].is_there)
            fprintf(stderr, "launch: %s does not answer\n", hosts->items[i].name);
    }
}

enum status hosts_ask(struct hosts *hosts, int *signal)
{
    const double end = clock_seconds() + ASK_S;
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < hosts->count && status >= 0; i++) {
        hosts->items[i].is_there = false;
        status = ask(&hosts->items[i], hosts->agent, null);
    }
    while (status >= 0 && is_asking(hosts) && clock_seconds() < end) {
        const struct ended ended = process_wait(end - clock_seconds());
        note_answer(hosts, &ended);
        *signal = ended.signal;
        if (ended.signal)
            status = status_set(STATUS_INTERRUPTED, "stopped by a signal");
    }
    give_up(hosts);
    close(null);
    if (status >= 0)
        tell_missing(hosts);
    if (status >= 0 && hosts_slots(hosts) == 0)
        status = status_set(STATUS_FAILED, "none of the hosts answers");
    return status;
}

int64_t hosts_slots(const struct hosts *hosts)
{
    int64_t slots = 0;
    for (size_t i = 0; i < hosts->count; i++)
        slots += hosts->items[i].is_there ? hosts->items[i].slots : 0;
    return slots;
}

void hosts_free(struct hosts *hosts)
{
    for (size_t i = 0; i < hosts->count; i++)
        free(hosts->items[i].name);
    free(hosts->items);
    *hosts = (struct hosts){0};
}
