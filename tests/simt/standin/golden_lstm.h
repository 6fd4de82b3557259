/* Reads lstm.txt (make_golden.py): tensors by name. */
#ifndef MIXT_TESTS_SIMT_STANDIN_GOLDEN_LSTM_H
#define MIXT_TESTS_SIMT_STANDIN_GOLDEN_LSTM_H

#include <stdint.h>

struct golden_numbers {
    char name[32];
    int64_t count;
    float *values;
};

/* Reads the whole file and keeps it; fails the test when it cannot. */
void golden_lstm_open(const char *path);
void golden_lstm_close(void);

/* The tensor "CASE.WHAT", or with a pseudo-layer "CASE.WHAT.p" (-1: without); NULL if there is
 * none. */
const struct golden_numbers *golden_lstm_find(const char *name, const char *what, int pseudo_layer);

#endif
