/* A heat map of experts, as SVG or PNG. */
#ifndef MIXT_TOOLS_ROUTING_HEAT_MAP_H
#define MIXT_TOOLS_ROUTING_HEAT_MAP_H

#include <stdint.h>

#include "base/status.h"

enum { HEAT_MAP_TITLE_BYTES = 96 };

/* A block of cells below its title. */
struct heat_map_panel {
    char title[HEAT_MAP_TITLE_BYTES];
    double *values;  /* [count], borrowed: multiples of an even share */
    int64_t count;   /* cells, line by line */
    int64_t columns; /* cells a line */
};

/* STATUS_USAGE unless path ends in .svg or .png; STATUS_CONFIG in a mixt without cairo. */
enum status heat_map_check(const char *path) STATUS_CHECKED;

/* Writes the panels side by side in rows of two, with a scale, whole or not at all. path as in
 * heat_map_check(); STATUS_IO, STATUS_MEMORY. */
enum status heat_map_write(const char *path, const struct heat_map_panel *panels,
                           int64_t n_panels) STATUS_CHECKED;

#endif
