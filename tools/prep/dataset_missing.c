/* mixt prep DATASET in a mixt that was built without what it takes. */
#include "tools/prep/dataset.h"

enum status prep_dataset_run(const struct prep_dataset_values *values,
                             const struct prep_options *options)
{
    (void)values, (void)options;
    const enum status status =
        status_set(STATUS_CONFIG, "this mixt was built without %s, which data sets need",
                   MIXT_MISSING_FOR_FETCH);
    status_hint("install the package's development files and build again with -Dfetch=enabled");
    return status;
}
