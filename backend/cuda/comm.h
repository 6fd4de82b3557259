/* What the module has for tensors between ranks. */
#ifndef MIXT_BACKEND_CUDA_COMM_H
#define MIXT_BACKEND_CUDA_COMM_H

#include "backend/comm/transport.h"

/* NCCL's calls; NULL where the module was built without it. */
const struct comm_device_ops *cuda_comm(void);

#endif
