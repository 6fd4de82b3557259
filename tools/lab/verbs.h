/* The verbs of mixt lab; as in tools/verbs.h. */
#ifndef MIXT_TOOLS_LAB_VERBS_H
#define MIXT_TOOLS_LAB_VERBS_H

int lab_cluster_main(int argc, char **argv);
int lab_steps_main(int argc, char **argv);
int lab_thresholds_main(int argc, char **argv);

#endif
