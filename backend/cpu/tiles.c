/* Permission for AMX's tiles. */
#include "backend/cpu/tiles.h"

#if defined(__x86_64__) && defined(__linux__)
#    include <sys/syscall.h>
#    include <unistd.h>
#endif

const struct tiles_setting tiles_full = {.palette = 1,
                                         .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
                                         .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

bool tiles_allow(void)
{
#if defined(__x86_64__) && defined(__linux__)
    enum { ASK_FOR_PERMISSION = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM */
    return syscall(SYS_arch_prctl, ASK_FOR_PERMISSION, TILE_DATA) == 0;
#else
    return false;
#endif
}
