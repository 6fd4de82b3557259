/* Routing on standard output, as text or JSON, and as heat maps. */
#ifndef MIXT_TOOLS_ROUTING_REPORT_H
#define MIXT_TOOLS_ROUTING_REPORT_H

#include "tools/routing/collect.h"

/* n_experts: so many of each layer's are listed, those with most tokens first. */
enum status report_text(const struct collect *collect, int64_t n_experts) STATUS_CHECKED;

/* Loads and importances of all experts, and the same list. */
enum status report_json(const struct collect *collect, int64_t n_experts) STATUS_CHECKED;

/* Each layer's loads and importances as heat maps (tools/routing/heat_map.h). */
enum status report_plot(const struct collect *collect, const char *path) STATUS_CHECKED;

#endif
