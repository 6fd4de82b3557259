/* One rank of a job that goes on until something fails, for the test of lost ranks.
 *
 * Usage: lose_rank OPERATION TIMEOUT_S STEPS. Prints "rank R pid P", makes the same call each step,
 * and checks what came. MIXT_COMM_FAULT says what befalls which rank. A failure is printed and
 * aborts with exit code 7. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend/comm/comm.h"

enum { N = 3000, ABORT_CODE = 7 };

struct job {
    struct comm comm;
    struct backend backend;
    struct arena arena;
    struct tensor in, out;
};

static void fill(struct job *job)
{
    float *in = job->in.data;
    for (int i = 0; i < N; i++)
        in[i] = (float)(job->comm.rank + i);
}

/* Element i of what every rank must get. */
static enum status check(const struct job *job, const float *got, bool is_sum)
{
    const int size = job->comm.size;
    for (int i = 0; i < N; i++)
        if (got[i] != (float)(is_sum ? size * i + size * (size - 1) / 2 : i))
            return status_set(STATUS_DATA, "step %lld: number %d is %g", (long long)job->comm.step,
                              i, (double)got[i]);
    return STATUS_OK;
}

static enum status all_to_all(struct job *job)
{
    int64_t rows[64];
    for (int r = 0; r < job->comm.size; r++)
        rows[r] = comm_share(N, r + 1, job->comm.size) - comm_share(N, r, job->comm.size);
    /* rank r sends share r of each, and gets its own of all: only equal shares fit both ways */
    return comm_all_to_all(&job->comm, &job->backend, &job->out, rows, &job->in, rows);
}

static enum status call(struct job *job, const char *operation)
{
    struct comm *comm = &job->comm;
    float *data = job->in.data;
    enum status status = STATUS_OK;
    if (strcmp(operation, "barrier") == 0)
        return comm_barrier(comm);
    if (strcmp(operation, "agree") == 0)
        return comm_agree(comm, STATUS_OK);
    if (strcmp(operation, "all_to_all") == 0)
        return all_to_all(job);
    if (strcmp(operation, "broadcast") == 0) {
        status = comm_broadcast(comm, data, N * sizeof *data, 0);
        return status < 0 ? status : check(job, data, false);
    }
    status = comm_all_reduce(comm, &job->backend, &job->in);
    return status < 0 ? status : check(job, data, true);
}

static enum status open_job(struct job *job, double timeout_s)
{
    enum status status = comm_open(&job->comm, "mpi", timeout_s);
    if (status >= 0)
        status = backend_open(&job->backend, "ref", 1);
    if (status >= 0)
        status = backend_arena_init(&job->backend, &job->arena, 1 << 20);
    if (status < 0)
        return status;
    job->in = tensor_2d(&job->arena, DTYPE_F32, N, 1);
    job->out = tensor_2d(&job->arena, DTYPE_F32, N, 1);
    printf("rank %d pid %ld\n", job->comm.rank, (long)getpid());
    (void)fflush(stdout);
    return STATUS_OK;
}

int main(int count, char **arguments)
{
    struct job job = {0};
    if (count != 4)
        return 2;
    enum status status = open_job(&job, atof(arguments[2]));
    if (status < 0)
        return status_finish(status);
    const int steps = atoi(arguments[3]);
    for (int step = 1; step <= steps && status >= 0; step++) {
        job.comm.step = step;
        fill(&job);
        status = call(&job, arguments[1]);
    }
    if (status < 0) {
        status_print();
        comm_abort(&job.comm, ABORT_CODE);
    }
    comm_close(&job.comm);
    arena_free(&job.arena);
    backend_close(&job.backend);
    return 0;
}
