/* Heat maps in a mixt that was built without cairo. */
#include "tools/routing/heat_map.h"

enum status heat_map_check(const char *path)
{
    const enum status status =
        status_set(STATUS_CONFIG, "cannot draw %s: this mixt was built without cairo", path);
    status_hint("install the package's development files and build again with -Dplots=enabled");
    return status;
}

enum status heat_map_write(const char *path, const struct heat_map_panel *panels, int64_t n_panels)
{
    (void)panels, (void)n_panels;
    return heat_map_check(path);
}
