/* What a run says on stderr. */
#include "tools/launch/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum status relay_open(struct relay *relay, const char *good_end, const char *lost_rank)
{
    int ends[2];
    if (pipe(ends) != 0)
        return status_set(STATUS_FAILED, "no pipe for messages: %s", strerror(errno));
    for (int i = 0; i < 2; i++)
        (void)fcntl(ends[i], F_SETFD, FD_CLOEXEC);
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    *relay = (struct relay){.is_open = true,
                            .from = ends[0],
                            .to = ends[1],
                            .good_end.text = good_end,
                            .lost_rank.text = lost_rank};
    return STATUS_OK;
}

void relay_let_go(struct relay *relay)
{
    if (relay->to >= 0)
        (void)close(relay->to);
    relay->to = -1;
}

static void search(struct words_to_see *words, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] != words->text[words->n_seen])
            words->n_seen = 0;
        words->n_seen += text[i] == words->text[words->n_seen];
        if (!words->text[words->n_seen]) {
            words->has_come = true;
            words->n_seen = 0;
        }
    }
}

void relay_pass(struct relay *relay)
{
    char text[4096];
    for (;;) {
        const ssize_t size = read(relay->from, text, sizeof text);
        if (size <= 0)
            return;
        search(&relay->good_end, text, (size_t)size);
        search(&relay->lost_rank, text, (size_t)size);
        (void)fwrite(text, 1, (size_t)size, stderr);
    }
}

void relay_close(struct relay *relay)
{
    if (!relay->is_open)
        return;
    relay_let_go(relay);
    (void)close(relay->from);
    *relay = (struct relay){0};
}
