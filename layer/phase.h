/* The phases of training that a profile tells apart. Whoever does the work of one names it with
 * phase_enter() and phase_leave(); phases nest, and the time of an inner one is not counted in the
 * outer. Without a profile in the backend this costs a comparison. */
#ifndef MIXT_LAYER_PHASE_H
#define MIXT_LAYER_PHASE_H

#include "backend/backend.h"
#include "base/profile.h"

enum phase {
    PHASE_OTHER, /* what nobody names */
    PHASE_BATCH, /* reading a batch, and the way to the device */
    PHASE_ENCODER,
    PHASE_DECODER,
    PHASE_ATTENTION,
    PHASE_GATE,     /* choosing experts, and the balance losses */
    PHASE_DISPATCH, /* tokens' way to their experts and back */
    PHASE_EXPERTS,
    PHASE_EXCHANGE, /* tokens' way to the ranks of their experts and back, in both directions */
    PHASE_ENCODER_BACKWARD,
    PHASE_DECODER_BACKWARD,
    PHASE_ATTENTION_BACKWARD,
    PHASE_GATE_BACKWARD,
    PHASE_DISPATCH_BACKWARD,
    PHASE_EXPERTS_BACKWARD,
    PHASE_OUTPUT, /* softmax and loss, forward */
    PHASE_OUTPUT_BACKWARD,
    PHASE_OPTIMIZER, /* norm, clipping, Adam, gradients to zero */
    PHASE_PACK,      /* weights into the order of products */
    PHASE_REPORT,    /* losses, expert statistics, progress lines */
    PHASE_VALIDATION,
    PHASE_SAVE,
    PHASE_COUNT
};

/* "experts backward". */
const char *phase_name(enum phase phase);

/* From here to the matching phase_leave() the time is the phase's. Work that the device has still
 * to do is waited for first. */
static inline void phase_enter(struct backend *backend, enum phase phase)
{
    if (!backend->profile)
        return;
    backend->ops->sync(backend);
    profile_enter(backend->profile, phase);
}

static inline void phase_leave(struct backend *backend)
{
    if (!backend->profile)
        return;
    backend->ops->sync(backend);
    profile_leave(backend->profile);
}

#endif
