/* How tensors are cut. */
#include "backend/comm/comm.h"

int64_t comm_share(int64_t n, int rank, int size)
{
    const int64_t larger = n % size;
    return n / size * rank + (rank < larger ? rank : larger);
}

int64_t comm_share_length(int64_t n, int rank, int size)
{
    return comm_share(n, rank + 1, size) - comm_share(n, rank, size);
}
