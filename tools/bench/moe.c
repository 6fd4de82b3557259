/* mixt bench moe: what more experts cost when each token is sent to as many as before. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "layer/phase.h"
#include "model/plan.h"
#include "tools/bench/subject.h"
#include "tools/bench/verbs.h"

static const char description[] =
    "Times updates of the shape with 4, 16, 64, 256 and 1024 experts (or --experts alone; or two "
    "levels, as model.moe.experts=[64,64] with model.moe.top_k=[2,2]), as many as fit into memory, "
    "each token sent to the same number of them. against_first is the time as a part of that of "
    "the first line, gate_share the part of the update that choosing experts takes.";

static const int64_t counts[] = {4, 16, 64, 256, 1024};

enum { N_COUNTS = sizeof counts / sizeof *counts };

/* Whether training takes at most three quarters of the machine's memory. */
static bool fits(const struct config *config)
{
    struct plan *plan = malloc(sizeof *plan);
    if (!plan)
        return false;
    plan_make(plan, config);
    const struct plan_memory memory = plan_training(plan, config, 1);
    const double machine = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    free(plan);
    return plan_memory_total(&memory) < 0.75 * machine;
}

static double gate_share(struct profile *profile)
{
    double seconds[PROFILE_MAX_PHASES];
    const double total = profile_take(profile, seconds);
    return (seconds[PHASE_GATE] + seconds[PHASE_GATE_BACKWARD]) / total;
}

/* The experts that the session's configuration has. */
static enum status measure(struct session *session)
{
    const struct config_levels *experts = &session->config->model.moe.experts;
    struct row row = {.unit = ROW_TOKENS};
    struct subject subject = {0};
    if (experts->n > 1)
        snprintf(row.name, sizeof row.name, "%" PRId64 " x %" PRId64 " experts", experts->value[0],
                 experts->value[1]);
    else
        snprintf(row.name, sizeof row.name, "%" PRId64 " experts", experts->value[0]);
    if (!session_wants(session, row.name))
        return STATUS_OK;
    if (!fits(session->config)) {
        fprintf(stderr, "mixt: %s left out: they do not fit into memory\n", row.name);
        return STATUS_OK;
    }
    enum status status = subject_open(&subject, session, true);
    if (status >= 0) {
        const struct work work = {.run = subject_update, .context = &subject};
        profile_start(&subject.profile, clock_seconds);
        session->backend.profile = &subject.profile;
        row.seconds = session_time(session, work, &row.calls);
        row.extra[0].name = "gate_share";
        row.extra[0].value = gate_share(&subject.profile);
        status = subject.status;
    }
    subject_free(&subject);
    if (status < 0)
        return status;
    row.amount = 2 * (double)(session->sentences * session->length);
    row.fraction = subject_flops(session) / row.seconds / session_peak_flops(session);
    row.extra[1].name = "against_first";
    row.extra[1].value = session->n_rows ? row.seconds / session->rows[0].seconds : 1;
    session_add(session, row);
    return STATUS_OK;
}

static enum status measure_all(struct session *session)
{
    struct config_moe *moe = &session->config->model.moe;
    if (session->options->experts || moe->experts.n > 1)
        return measure(session);
    enum status status = STATUS_OK;
    for (int i = 0; i < N_COUNTS && status >= 0; i++) {
        moe->experts.value[0] = counts[i];
        if (counts[i] >= moe->top_k.value[0])
            status = measure(session);
    }
    return status;
}

int bench_moe_main(int argc, char **argv)
{
    struct bench_options options = {0};
    struct session session;
    const int code = session_start(&session, &options, "moe", description, argc, argv);
    if (code >= 0)
        return code;
    return session_finish(&session, measure_all(&session));
}
