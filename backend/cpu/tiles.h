/* The tiles of AMX: whether the process may use them, and their one setting here. */
#ifndef MIXT_BACKEND_CPU_TILES_H
#define MIXT_BACKEND_CPU_TILES_H

#include <stdbool.h>
#include <stdint.h>

/* What _tile_loadconfig() reads: all eight tiles are full, 16 rows of 64 bytes. */
struct tiles_setting {
    uint8_t palette, first_row, unused[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

extern const struct tiles_setting tiles_full;

/* Asks the system for the registers, which it gives to the whole process; false where it refuses.
 * Of a processor that has them. */
bool tiles_allow(void);

#endif
