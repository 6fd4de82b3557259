/* A model with random weights and random sentences for it, to be measured. */
#ifndef MIXT_TOOLS_BENCH_SUBJECT_H
#define MIXT_TOOLS_BENCH_SUBJECT_H

#include "base/profile.h"
#include "model/model.h"
#include "tools/bench/measure.h"

struct subject {
    struct session *session; /* borrowed */
    struct model model;
    struct batch batch;
    struct model_batch uploaded; /* in the session's arena */
    struct model_record record;
    struct profile profile;
    int64_t step;       /* updates made */
    enum status status; /* sticky: of the updates */
};

/* A model of the session's configuration, to train or to decode with; one that decodes has gates
 * that tell tokens apart, which at a start they do not. A zeroed subject may be freed.
 * STATUS_MEMORY. */
enum status subject_open(struct subject *subject, struct session *session,
                         bool is_training) STATUS_CHECKED;
void subject_free(struct subject *subject);

/* Fills the batch with sentences of the session's length, drawn by number. STATUS_MEMORY. */
enum status subject_draw(struct subject *subject, int64_t n_sentences,
                         int64_t number) STATUS_CHECKED;

/* A pass over the model in the session's arena. */
struct pass subject_pass(struct subject *subject, bool is_training);

/* One update as the trainer makes it: a batch, its gradient, the optimiser; context is a subject.
 * Failures are kept in subject->status. */
void subject_update(void *context);

/* Floating point operations of an update: those of matrices, forward and twice backward. */
double subject_flops(const struct session *session);

/* Those of translating a sentence with so many hypotheses. */
double subject_decoding_flops(const struct session *session, int64_t beam);

#endif
