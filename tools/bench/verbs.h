/* The verbs of mixt bench; as in tools/verbs.h. */
#ifndef MIXT_TOOLS_BENCH_VERBS_H
#define MIXT_TOOLS_BENCH_VERBS_H

int bench_op_main(int argc, char **argv);
int bench_layer_main(int argc, char **argv);
int bench_train_main(int argc, char **argv);
int bench_decode_main(int argc, char **argv);
int bench_moe_main(int argc, char **argv);
int bench_comm_main(int argc, char **argv);
int bench_make_main(int argc, char **argv);

#endif
