/* One rank of a job that goes on until something fails, for the test of lost ranks.
 *
 * Usage: lose_rank BACKEND OPERATION TIMEOUT_S STEPS. Prints "rank R pid P", makes the same call
 * each step, and checks what came. MIXT_COMM_FAULT says what befalls which rank; OPERATION absent
 * is a sum that the last rank does not come to in step 4, and that the first comes to late. A
 * failure is printed and aborts with exit code 7. BACKEND cuda-emu is the emulated GPU of the
 * rank's number. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backend/comm/comm.h"

enum { N = 3000, ABORT_CODE = 7, ABSENT_STEP = 4 };

struct job {
    struct comm comm;
    struct backend backend;
    struct arena arena;
    struct tensor in, out;
};

static void fill(struct job *job, float numbers[N])
{
    for (int i = 0; i < N; i++)
        numbers[i] = (float)(job->comm.rank + i);
    job->backend.ops->upload(&job->backend, &job->in, numbers, N * sizeof *numbers);
}

/* What every rank must get. */
static enum status check(const struct job *job, const float got[N], bool is_sum)
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
    /* each rank sends to r as much as r gets of each: N is cut evenly */
    return comm_all_to_all(&job->comm, &job->backend, &job->out, rows, &job->in, rows);
}

static enum status all_reduce(struct job *job, float numbers[N])
{
    const enum status status = comm_all_reduce(&job->comm, &job->backend, &job->in);
    if (status < 0)
        return status;
    job->backend.ops->download(&job->backend, numbers, &job->in, N * sizeof *numbers);
    return check(job, numbers, true);
}

static void be_absent(const struct comm *comm)
{
    const struct timespec moment = {.tv_nsec = (long)(comm->timeout_s * 4e8)};
    while (comm->rank == comm->size - 1)
        (void)pause();
    if (comm->rank == 0)
        (void)nanosleep(&moment, NULL);
}

static enum status call(struct job *job, const char *operation)
{
    static float numbers[N];
    struct comm *comm = &job->comm;
    fill(job, numbers);
    if (strcmp(operation, "barrier") == 0)
        return comm_barrier(comm);
    if (strcmp(operation, "agree") == 0)
        return comm_agree(comm, STATUS_OK);
    if (strcmp(operation, "all_to_all") == 0)
        return all_to_all(job);
    if (strcmp(operation, "broadcast") == 0) {
        const enum status status = comm_broadcast(comm, numbers, sizeof numbers, 0);
        return status < 0 ? status : check(job, numbers, false);
    }
    if (strcmp(operation, "absent") == 0 && comm->step == ABSENT_STEP)
        be_absent(comm);
    return all_reduce(job, numbers);
}

static enum status open_job(struct job *job, const char *device, double timeout_s)
{
    char name[32];
    enum status status = comm_open(&job->comm, "mpi", timeout_s);
    snprintf(name, sizeof name, strcmp(device, "cuda-emu") == 0 ? "%s:%d" : "%s", device,
             job->comm.rank);
    if (status >= 0)
        status = backend_open(&job->backend, name, 1);
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
    if (count != 5)
        return 2;
    enum status status = open_job(&job, arguments[1], atof(arguments[3]));
    if (status < 0)
        return status_finish(status);
    const int steps = atoi(arguments[4]);
    for (int step = 1; step <= steps && status >= 0; step++) {
        job.comm.step = step;
        status = call(&job, arguments[2]);
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
