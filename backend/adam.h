/* struct adam of backend.h as loops and kernels over f32 want it. Kernel files include it. */
#ifndef MIXT_BACKEND_ADAM_H
#define MIXT_BACKEND_ADAM_H

struct adam_rates {
    float keep1, add1, keep2, add2; /* beta and 1 - beta */
    float gradient_scale;
    float step;    /* learning rate / (1 - beta1^step) */
    float unbias2; /* 1 / (1 - beta2^step) */
    float epsilon;
};

#endif
