/* Tokens on their way to experts and back, on any number of ranks, nothing computed: the exchange
 * of moe/exchange.c through comm and MPI as they are, at once and in stages.
 *
 * Each rank has tokens, each token goes to two experts. An expert's rank checks that every row in
 * its list is for it, comes from the rank that the order says and is there once; then it signs the
 * row and sends it back, where token, place and signature are checked again. Prints one line on
 * rank 0: ranks, ranks of a node, seconds of an exchange there and back at once and in stages.
 *
 * Usage, under mpirun or smpirun: travel NODE TOKENS WIDTH [ROUNDS] */
#include <stdio.h>
#include <stdlib.h>

#include "backend/ref/ref.h"
#include "base/clock.h"
#include "moe/exchange.h"

enum { EXPERTS_A_RANK = 2, CHOICES = 2, SOURCE = 0, TOKEN = 1, EXPERT = 2, SIGNATURE = 3 };

#ifdef TRAVEL_MPI
#    include "backend/comm/transport.h"
const struct comm_module *mixt_comm_module(int version);
#endif

struct traveller {
    struct comm comm;
    struct backend backend;
    struct arena arena, host;
    struct pass pass;
    int64_t n_tokens, width, n_experts;
    struct tensor offsets, rows, back; /* [E+1] i32; [C, width] sorted by expert, twice */
};

static void check(const struct traveller *t, bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "rank %d: %s\n", t->comm.rank, what);
    exit(1);
}

/* The expert that a token goes to: any, but the same each time. */
static int64_t expert_of(const struct traveller *t, int rank, int64_t token, int choice)
{
    const uint64_t mixed = (uint64_t)(rank * t->n_tokens + token) * 0x9E3779B97F4A7C15u;
    return (int64_t)((mixed >> 33) + (uint64_t)choice * (mixed % 61 + 1)) % t->n_experts;
}

/* Rows of this rank, sorted by expert: source, token, expert, no signature yet. */
static void fill(struct traveller *t)
{
    int32_t *offsets = t->offsets.data;
    float *row = t->rows.data;
    int32_t place = 0;
    for (int64_t e = 0; e < t->n_experts; e++) {
        offsets[e] = place;
        for (int64_t n = 0; n < t->n_tokens; n++)
            for (int c = 0; c < CHOICES; c++) {
                if (expert_of(t, t->comm.rank, n, c) != e)
                    continue;
                row[SOURCE] = (float)t->comm.rank;
                row[TOKEN] = (float)(n * CHOICES + c);
                row[EXPERT] = (float)e;
                row[SIGNATURE] = -1;
                row += t->width;
                place++;
            }
    }
    offsets[t->n_experts] = place;
}

/* What has come to this rank's experts, against what all ranks sent; each row is signed. */
static void check_and_sign(const struct traveller *t, const struct exchange *exchange,
                           const struct tensor *arrived)
{
    const int64_t first = comm_share(t->n_experts, t->comm.rank, t->comm.size);
    const int32_t *offsets = exchange->offsets.data;
    float *row = arrived->data;
    int64_t place = 0;
    for (int64_t e = 0; e < exchange->offsets.dim[0] - 1; e++) {
        check(t, offsets[e] == place, "an expert's rows begin elsewhere");
        for (int r = 0; r < t->comm.size; r++)
            for (int64_t n = 0; n < t->n_tokens * CHOICES; n++) {
                if (expert_of(t, r, n / CHOICES, (int)(n % CHOICES)) != first + e)
                    continue;
                check(t, place < arrived->dim[0], "rows are missing");
                check(t,
                      row[SOURCE] == (float)r && row[TOKEN] == (float)n &&
                          row[EXPERT] == (float)(first + e) && row[SIGNATURE] == -1,
                      "a row is not the one that its place wants");
                row[SIGNATURE] = (float)(first + e);
                row += t->width;
                place++;
            }
    }
    check(t, place == arrived->dim[0], "rows that nobody sent");
}

static void check_back(const struct traveller *t)
{
    const float *sent = t->rows.data, *back = t->back.data;
    for (int64_t i = 0; i < t->rows.dim[0]; i++, sent += t->width, back += t->width)
        check(t,
              back[SOURCE] == sent[SOURCE] && back[TOKEN] == sent[TOKEN] &&
                  back[EXPERT] == sent[EXPERT] && back[SIGNATURE] == sent[EXPERT],
              "a row did not come back to its place, signed");
}

/* Seconds of an exchange there and back, the mean of rounds; the first is checked. */
static double travel(struct traveller *t, int rounds)
{
    double start = 0;
    for (int round = -1; round < rounds; round++) {
        const struct pass_mark mark = pass_mark(&t->pass);
        struct exchange exchange;
        if (round <= 0)
            check(t, comm_barrier(&t->comm) >= 0, status_message());
        if (round == 0)
            start = clock_seconds();
        exchange_open(&exchange, &t->pass, &t->offsets, 1);
        const struct tensor arrived = exchange_out(&exchange, &t->pass, &t->rows);
        if (round < 0)
            check_and_sign(t, &exchange, &arrived);
        exchange_back(&exchange, &t->pass, &t->back, &arrived);
        check(t, backend_sync(&t->backend) >= 0, status_message());
        if (round < 0)
            check_back(t);
        pass_release(&t->pass, mark);
    }
    check(t, comm_barrier(&t->comm) >= 0, status_message());
    return (clock_seconds() - start) / rounds;
}

static enum status open_comm(struct comm *comm)
{
#ifdef TRAVEL_MPI
    *comm = (struct comm){.timeout_s = 1e6, .step = -1, .operation = "start", .stage = 1};
    return mixt_comm_module(COMM_MODULE_VERSION)->open(comm);
#else
    return comm_open(comm, "auto", 60);
#endif
}

int main(int argc, char **argv)
{
    static struct traveller t;
    const int node = argc > 1 ? atoi(argv[1]) : 1, rounds = argc > 4 ? atoi(argv[4]) : 3;
    t.n_tokens = argc > 2 ? atoi(argv[2]) : 16;
    t.width = argc > 3 ? atoi(argv[3]) : 8;
    if (open_comm(&t.comm) < 0 || ref_float_open(&t.backend) < 0 || arena_init(&t.arena, 0) < 0 ||
        arena_init(&t.host, 0) < 0) {
        fprintf(stderr, "%s\n", status_message());
        return 1;
    }
    t.n_experts = (int64_t)t.comm.size * EXPERTS_A_RANK;
    t.pass =
        (struct pass){.backend = &t.backend, .arena = &t.arena, .host = &t.host, .comm = &t.comm};
    t.offsets = tensor_1d(&t.arena, DTYPE_I32, t.n_experts + 1);
    t.rows = tensor_2d(&t.arena, DTYPE_F32, t.n_tokens * CHOICES, t.width);
    t.back = tensor_2d(&t.arena, DTYPE_F32, t.n_tokens * CHOICES, t.width);
    fill(&t);
    comm_set_stage(&t.comm, 1);
    const double at_once_s = travel(&t, rounds);
    comm_set_stage(&t.comm, node);
    const double in_stages_s = travel(&t, rounds);
    if (t.comm.rank == 0)
        printf("ranks %d node %d at_once_s %.9f in_stages_s %.9f\n", t.comm.size, node, at_once_s,
               in_stages_s);
    comm_close(&t.comm);
    arena_free(&t.arena);
    arena_free(&t.host);
    backend_close(&t.backend);
    return 0;
}
