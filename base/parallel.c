/* Threads for one call: they are started, share an atomic counter of pieces, and are joined. */
#include "base/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

enum { MESSAGE_BYTES = 1024 };

struct crew {
    parallel_piece *run;
    void *context;
    int64_t n;
    _Atomic int64_t next;
    atomic_bool is_stopped;
    pthread_mutex_t lock; /* of what follows */
    int64_t failed_index; /* -1: none */
    enum status status;
    char message[MESSAGE_BYTES]; /* status messages are one a thread: carried to the caller */
    char hint[MESSAGE_BYTES];
};

struct member {
    struct crew *crew;
    int number;
    pthread_t thread;
    bool is_started;
};

int parallel_usable_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    const int count = CPU_COUNT(&set);
    return count > 0 ? count : 1;
}

int parallel_threads(int64_t requested)
{
    const int64_t wanted = requested > 0 ? requested : parallel_usable_cores();
    return wanted > PARALLEL_MAX_THREADS ? PARALLEL_MAX_THREADS : (int)wanted;
}

static void note_failure(struct crew *crew, int64_t index, enum status status)
{
    atomic_store(&crew->is_stopped, true);
    pthread_mutex_lock(&crew->lock);
    if (crew->failed_index < 0 || index < crew->failed_index) {
        crew->failed_index = index;
        crew->status = status;
        snprintf(crew->message, sizeof crew->message, "%s", status_message());
        snprintf(crew->hint, sizeof crew->hint, "%s", status_hint_text());
    }
    pthread_mutex_unlock(&crew->lock);
}

static void *work(void *argument)
{
    struct member *member = argument;
    struct crew *crew = member->crew;
    while (!atomic_load(&crew->is_stopped)) {
        const int64_t index = atomic_fetch_add(&crew->next, 1);
        if (index >= crew->n)
            break;
        const enum status status = crew->run(crew->context, member->number, index);
        if (status < 0)
            note_failure(crew, index, status);
    }
    return NULL;
}

enum status parallel_for(int threads, int64_t n, parallel_piece *run, void *context)
{
    struct crew crew = {.run = run, .context = context, .n = n, .failed_index = -1};
    struct member members[PARALLEL_MAX_THREADS];
    if (threads > PARALLEL_MAX_THREADS)
        threads = PARALLEL_MAX_THREADS;
    if (threads > n)
        threads = (int)n;
    pthread_mutex_init(&crew.lock, NULL);
    for (int i = 1; i < threads; i++) {
        members[i] = (struct member){.crew = &crew, .number = i};
        members[i].is_started = pthread_create(&members[i].thread, NULL, work, &members[i]) == 0;
    }
    work(&(struct member){.crew = &crew});
    for (int i = 1; i < threads; i++) {
        if (members[i].is_started)
            pthread_join(members[i].thread, NULL);
    }
    pthread_mutex_destroy(&crew.lock);
    if (crew.failed_index < 0)
        return STATUS_OK;
    const enum status status = status_set(crew.status, "%s", crew.message);
    if (crew.hint[0])
        status_hint("%s", crew.hint);
    return status;
}
