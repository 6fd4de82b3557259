/* The phases' names. */
#include "layer/phase.h"

const char *phase_name(enum phase phase)
{
    static const char *const names[PHASE_COUNT] = {
        [PHASE_OTHER] = "other",
        [PHASE_BATCH] = "batch",
        [PHASE_ENCODER] = "encoder",
        [PHASE_DECODER] = "decoder",
        [PHASE_ATTENTION] = "attention",
        [PHASE_GATE] = "gate",
        [PHASE_DISPATCH] = "dispatch",
        [PHASE_EXPERTS] = "experts",
        [PHASE_EXCHANGE] = "exchange",
        [PHASE_ENCODER_BACKWARD] = "encoder backward",
        [PHASE_DECODER_BACKWARD] = "decoder backward",
        [PHASE_ATTENTION_BACKWARD] = "attention backward",
        [PHASE_GATE_BACKWARD] = "gate backward",
        [PHASE_DISPATCH_BACKWARD] = "dispatch backward",
        [PHASE_EXPERTS_BACKWARD] = "experts backward",
        [PHASE_OUTPUT] = "output",
        [PHASE_OUTPUT_BACKWARD] = "output backward",
        [PHASE_OPTIMIZER] = "optimizer",
        [PHASE_PACK] = "pack weights",
        [PHASE_REPORT] = "report",
        [PHASE_VALIDATION] = "validation",
        [PHASE_SAVE] = "save",
    };
    CHECK(phase >= 0 && phase < PHASE_COUNT, "phase %d", (int)phase);
    return names[phase];
}
