/* Other programs. */
#include "tools/launch/process.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"

extern char **environ;

/* -- command lines -- */

static void add(struct words *words, const char *word, size_t length)
{
    char **items = realloc(words->items, (words->count + 2) * sizeof *items);
    if (items)
        words->items = items;
    char *copy = items ? strndup(word, length) : NULL;
    if (!copy) {
        words->error = status_set(STATUS_MEMORY, "no memory for a command line");
        return;
    }
    words->items[words->count++] = copy;
    words->items[words->count] = NULL;
}

void words_add(struct words *words, const char *word)
{
    add(words, word, strlen(word));
}

void words_add_cut(struct words *words, const char *text)
{
    while (*(text += strspn(text, " "))) {
        const size_t length = strcspn(text, " ");
        add(words, text, length);
        text += length;
    }
}

/* Inside single quotes a shell changes nothing; a quote itself stands between two runs of them. */
static enum status quote(struct buffer *line, const char *word)
{
    enum status status = buffer_append_string(line, "'");
    for (; status >= 0 && *word; word++)
        status = *word == '\'' ? buffer_append_string(line, "'\\''") : buffer_append(line, word, 1);
    return status < 0 ? status : buffer_append_string(line, "'");
}

void words_add_quoted(struct words *words, const char *folder, const struct words *command)
{
    struct buffer line = {0};
    enum status status = buffer_append_string(&line, "cd ");
    if (status >= 0)
        status = quote(&line, folder);
    if (status >= 0)
        status = buffer_append_string(&line, " && exec");
    for (size_t i = 0; i < command->count && status >= 0; i++) {
        status = buffer_append_string(&line, " ");
        if (status >= 0)
            status = quote(&line, command->items[i]);
    }
    if (status < 0)
        words->error = status;
    else
        words_add(words, line.data);
    buffer_free(&line);
}

void words_free(struct words *words)
{
    for (size_t i = 0; i < words->count; i++)
        free(words->items[i]);
    free(words->items);
    *words = (struct words){0};
}

/* -- processes -- */

static sigset_t watched_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

void process_prepare(void)
{
    const sigset_t set = watched_signals();
    sigprocmask(SIG_BLOCK, &set, NULL);
}

enum status process_start(pid_t *pid, const struct words *command, int in, int out, int err)
{
    posix_spawnattr_t how;
    posix_spawn_file_actions_t files;
    sigset_t none;
    if (command->error < 0)
        return command->error;
    sigemptyset(&none);
    posix_spawnattr_init(&how);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setpgroup(&how, 0);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawn_file_actions_init(&files);
    if (in >= 0)
        posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
    if (out >= 0)
        posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    if (err >= 0)
        posix_spawn_file_actions_adddup2(&files, err, STDERR_FILENO);
    const int error = posix_spawnp(pid, command->items[0], &files, &how, command->items, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    if (error)
        return status_set(STATUS_FAILED, "cannot start %s: %s", command->items[0], strerror(error));
    return STATUS_OK;
}

static struct ended reap(void)
{
    int state;
    const pid_t pid = waitpid(-1, &state, WNOHANG);
    if (pid <= 0)
        return (struct ended){0};
    return (struct ended){.pid = pid,
                          .code = WIFSIGNALED(state) ? 128 + WTERMSIG(state) : WEXITSTATUS(state)};
}

struct ended process_wait(double seconds)
{
    const sigset_t set = watched_signals();
    const double end = clock_seconds() + seconds;
    for (;;) {
        struct ended ended = reap();
        const double left = seconds < 0 ? 3600 : end - clock_seconds();
        if (ended.pid || left <= 0)
            return ended;
        const struct timespec time = {.tv_sec = (time_t)left,
                                      .tv_nsec = (long)((left - (double)(time_t)left) * 1e9)};
        const int number = sigtimedwait(&set, NULL, &time);
        if (number == SIGINT || number == SIGTERM) {
            ended = reap();
            ended.signal = number;
            return ended;
        }
    }
}

void process_signal(pid_t pid, int number)
{
    (void)kill(-pid, number);
}
