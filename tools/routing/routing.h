/* mixt info --routing. */
#ifndef MIXT_TOOLS_ROUTING_ROUTING_H
#define MIXT_TOOLS_ROUTING_ROUTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct routing_options {
    bool wants_json;
    const char *plot;     /* NULL: none */
    int64_t n_top;        /* typical tokens of an expert */
    int64_t n_experts;    /* listed in each layer */
    const char *language; /* as languages_piece() takes it */
    const char *device;   /* as backend_open() takes it */
    int64_t threads;      /* 0: all cores */
};

/* Prints what the model's gates do with a text, or a text and its translation. */
enum status routing_run(const struct routing_options *options, const char *model,
                        const char *const *texts, size_t n_texts) STATUS_CHECKED;

#endif
