/* A ring of blocks: the caller fills them in order, threads work on them, and the caller delivers
 * them in order. One lock guards the ring's counters; a block belongs to one thread at a time. */
#include "text/pipeline.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"

enum { BLOCK_BYTES = 1 << 18, BLOCK_ROWS = 1 << 12, BLOCKS_PER_THREAD = 3, MESSAGE_BYTES = 1024 };

/* Some rows, and what became of them. */
struct block {
    struct buffer text; /* the lines, each with a final NUL */
    struct line *cells; /* [BLOCK_ROWS * n_inputs] row by row; owned */
    size_t n_rows;
    struct buffer output;
    bool is_done;
    enum status status; /* of the row that failed; the rows before it are in output */
    char message[MESSAGE_BYTES];
    char hint[MESSAGE_BYTES];
};

struct ring {
    const struct pipeline *job;
    struct block *blocks; /* [n_blocks] block number b is blocks[b % n_blocks] */
    size_t n_blocks;
    size_t n_filled;    /* blocks handed over by the caller */
    size_t n_taken;     /* by a thread */
    size_t n_delivered; /* by the caller again */
    bool is_closed;     /* no more work will come */
    pthread_mutex_t lock;
    pthread_cond_t work; /* a block was filled, or the ring was closed */
    pthread_cond_t done; /* a block is done */
};

struct worker {
    struct ring *ring;
    int number;
    pthread_t thread;
};

static void note_failure(struct block *block, enum status status, const char *name, int64_t line)
{
    block->status = status;
    snprintf(block->message, sizeof block->message, "%s:%lld: %s", name, (long long)line,
             status_message());
    snprintf(block->hint, sizeof block->hint, "%s", status_hint_text());
}

static void work_on(const struct pipeline *job, int thread, struct block *block)
{
    buffer_clear(&block->output);
    block->status = STATUS_OK;
    for (size_t i = 0; i < block->n_rows; i++) {
        const struct line *row = block->cells + i * job->n_inputs;
        const size_t before = block->output.size;
        const enum status status = job->apply(job->context, thread, row, &block->output);
        if (status < 0) {
            block->output.size = before;
            note_failure(block, status, lines_name(job->inputs[0]), row->number);
            return;
        }
    }
}

static void *work(void *argument)
{
    const struct worker *worker = argument;
    struct ring *ring = worker->ring;
    pthread_mutex_lock(&ring->lock);
    for (;;) {
        while (ring->n_taken == ring->n_filled && !ring->is_closed)
            pthread_cond_wait(&ring->work, &ring->lock);
        if (ring->n_taken == ring->n_filled)
            break;
        struct block *block = &ring->blocks[ring->n_taken++ % ring->n_blocks];
        pthread_mutex_unlock(&ring->lock);
        work_on(ring->job, worker->number, block);
        pthread_mutex_lock(&ring->lock);
        block->is_done = true;
        pthread_cond_signal(&ring->done);
    }
    pthread_mutex_unlock(&ring->lock);
    return NULL;
}

/* Adds a line to the block; its place in the text stands in for its address until the block is
 * complete. */
static enum status add_cell(struct block *block, size_t cell, const struct line *line)
{
    block->cells[cell] = (struct line){NULL, line->size, line->number};
    return buffer_append(&block->text, line->bytes, line->size + 1);
}

/* Reads a line of every input; *is_end when all of them end here. */
static enum status read_row(const struct pipeline *job, struct block *block, bool *is_end)
{
    size_t n_ended = 0;
    for (size_t i = 0; i < job->n_inputs; i++) {
        struct line line;
        enum status status = lines_next(job->inputs[i], &line);
        if (status == STATUS_OK && line.bytes != NULL)
            status = add_cell(block, block->n_rows * job->n_inputs + i, &line);
        if (status < 0)
            return status;
        n_ended += line.bytes == NULL ? 1 : 0;
    }
    *is_end = n_ended == job->n_inputs;
    if (n_ended == 0)
        block->n_rows++;
    else if (!*is_end)
        return pipeline_check_counts(job->inputs, job->n_inputs);
    return STATUS_OK;
}

static bool would_block(const struct pipeline *job)
{
    for (size_t i = 0; i < job->n_inputs; i++) {
        if (lines_would_block(job->inputs[i]))
            return true;
    }
    return false;
}

static void address_cells(struct block *block, size_t n_inputs)
{
    size_t place = 0;
    for (size_t i = 0; i < block->n_rows * n_inputs; i++) {
        block->cells[i].bytes = block->text.data + place;
        place += block->cells[i].size + 1;
    }
}

/* Reads rows until the block is full, input ends or pauses, or reading fails: then the rows before
 * are kept. */
static enum status fill(const struct pipeline *job, struct block *block, bool *is_end,
                        bool *is_pause)
{
    enum status status = STATUS_OK;
    buffer_clear(&block->text);
    block->n_rows = 0;
    block->is_done = false;
    *is_pause = false;
    while (status == STATUS_OK && !*is_end && !*is_pause && block->n_rows < BLOCK_ROWS &&
           block->text.size < BLOCK_BYTES) {
        status = read_row(job, block, is_end);
        *is_pause = status == STATUS_OK && !*is_end && would_block(job);
    }
    if (block->n_rows > 0)
        address_cells(block, job->n_inputs);
    return status;
}

/* Waits for the oldest block and delivers it. */
static enum status deliver_oldest(struct ring *ring, bool is_pause)
{
    const struct pipeline *job = ring->job;
    struct block *block = &ring->blocks[ring->n_delivered % ring->n_blocks];
    pthread_mutex_lock(&ring->lock);
    while (!block->is_done)
        pthread_cond_wait(&ring->done, &ring->lock);
    ring->n_delivered++;
    pthread_mutex_unlock(&ring->lock);
    const enum status status = job->deliver(job->context, &block->output, is_pause);
    if (status < 0 || block->status == STATUS_OK)
        return status;
    const enum status failure = status_set(block->status, "%s", block->message);
    if (block->hint[0])
        status_hint("%s", block->hint);
    return failure;
}

static enum status deliver_all(struct ring *ring, bool is_pause)
{
    enum status status = STATUS_OK;
    while (status == STATUS_OK && ring->n_delivered < ring->n_filled)
        status = deliver_oldest(ring, is_pause && ring->n_delivered + 1 == ring->n_filled);
    return status;
}

/* Delivers all blocks, and keeps the message of a reading failure, which comes after them. */
static enum status deliver_before(struct ring *ring, enum status failure)
{
    char message[MESSAGE_BYTES], hint[MESSAGE_BYTES];
    snprintf(message, sizeof message, "%s", status_message());
    snprintf(hint, sizeof hint, "%s", status_hint_text());
    const enum status status = deliver_all(ring, true);
    if (status < 0)
        return status;
    status_set(failure, "%s", message);
    if (hint[0])
        status_hint("%s", hint);
    return failure;
}

static void hand_over(struct ring *ring, bool has_workers)
{
    struct block *block = &ring->blocks[ring->n_filled % ring->n_blocks];
    if (!has_workers) {
        work_on(ring->job, 0, block);
        block->is_done = true;
    }
    pthread_mutex_lock(&ring->lock);
    ring->n_filled++;
    pthread_cond_signal(&ring->work);
    pthread_mutex_unlock(&ring->lock);
}

static enum status run(struct ring *ring, bool has_workers)
{
    bool is_end = false;
    while (!is_end) {
        bool is_pause = false;
        struct block *block = &ring->blocks[ring->n_filled % ring->n_blocks];
        const enum status read = fill(ring->job, block, &is_end, &is_pause);
        if (block->n_rows > 0)
            hand_over(ring, has_workers);
        if (read < 0)
            return deliver_before(ring, read);
        enum status status = STATUS_OK;
        if (is_pause)
            status = deliver_all(ring, true);
        else if (ring->n_filled - ring->n_delivered == ring->n_blocks)
            status = deliver_oldest(ring, false);
        if (status < 0)
            return status;
    }
    return deliver_all(ring, true);
}

/* Starts as many threads as it can; returns how many. */
static int start_workers(struct ring *ring, struct worker *workers, int n)
{
    for (int i = 0; i < n; i++) {
        workers[i] = (struct worker){.ring = ring, .number = i};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            return i;
    }
    return n;
}

static void close_ring(struct ring *ring, const struct worker *workers, int n_workers)
{
    pthread_mutex_lock(&ring->lock);
    ring->is_closed = true;
    ring->n_taken = ring->n_filled; /* after a failure, what is left is not worth the work */
    pthread_cond_broadcast(&ring->work);
    pthread_mutex_unlock(&ring->lock);
    for (int i = 0; i < n_workers; i++)
        pthread_join(workers[i].thread, NULL);
}

static enum status make_blocks(struct ring *ring, size_t n_blocks)
{
    const size_t n_cells = (size_t)BLOCK_ROWS * ring->job->n_inputs;
    ring->blocks = calloc(n_blocks, sizeof *ring->blocks);
    if (ring->blocks == NULL)
        return status_set(STATUS_MEMORY, "no memory for %zu blocks of lines", n_blocks);
    ring->n_blocks = n_blocks;
    for (size_t i = 0; i < n_blocks; i++) {
        ring->blocks[i].cells = calloc(n_cells, sizeof *ring->blocks[i].cells);
        if (ring->blocks[i].cells == NULL)
            return status_set(STATUS_MEMORY, "no memory for a block of %zu lines", n_cells);
    }
    return STATUS_OK;
}

static void free_blocks(struct ring *ring)
{
    for (size_t i = 0; i < ring->n_blocks; i++) {
        buffer_free(&ring->blocks[i].text);
        buffer_free(&ring->blocks[i].output);
        free(ring->blocks[i].cells);
    }
    free(ring->blocks);
}

enum status pipeline_run(const struct pipeline *pipeline)
{
    CHECK(pipeline->n_inputs > 0, "a pipeline without input");
    struct worker workers[PARALLEL_MAX_THREADS];
    struct ring ring = {.job = pipeline};
    int n_workers = pipeline->threads <= 1 ? 0 : pipeline->threads;
    if (n_workers > PARALLEL_MAX_THREADS)
        n_workers = PARALLEL_MAX_THREADS;
    pthread_mutex_init(&ring.lock, NULL);
    pthread_cond_init(&ring.work, NULL);
    pthread_cond_init(&ring.done, NULL);
    enum status status =
        make_blocks(&ring, n_workers > 0 ? (size_t)n_workers * BLOCKS_PER_THREAD : 1);
    if (status == STATUS_OK) {
        n_workers = start_workers(&ring, workers, n_workers);
        status = run(&ring, n_workers > 0);
        close_ring(&ring, workers, n_workers);
    }
    free_blocks(&ring);
    pthread_cond_destroy(&ring.done);
    pthread_cond_destroy(&ring.work);
    pthread_mutex_destroy(&ring.lock);
    return status;
}

enum status pipeline_write(FILE *stream, const struct buffer *output, bool is_pause)
{
    const bool is_written =
        output->size == 0 || fwrite(output->data, 1, output->size, stream) == output->size;
    if (!is_written || (is_pause && fflush(stream) != 0))
        return status_set(STATUS_IO, "%s: cannot write: %s",
                          stream == stdout ? "standard output" : "output", strerror(errno));
    return STATUS_OK;
}

enum status pipeline_check_counts(struct lines *const *inputs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct line line = {.bytes = ""};
        while (line.bytes != NULL) {
            const enum status status = lines_next(inputs[i], &line);
            if (status < 0)
                return status;
        }
    }
    const long long wanted = (long long)lines_so_far(inputs[0])->lines;
    for (size_t i = 1; i < n; i++) {
        const long long found = (long long)lines_so_far(inputs[i])->lines;
        if (found != wanted)
            return status_set(STATUS_DATA, "%s has %lld lines but %s has %lld",
                              lines_name(inputs[0]), wanted, lines_name(inputs[i]), found);
    }
    return STATUS_OK;
}
