/* The verbs of the program. Each parses its own command line (argv[0] is the verb), prints its own
 * errors and returns the exit code; data goes to stdout and everything else to stderr. main()
 * flushes stdout afterwards and turns a failed write into exit code 1. */
#ifndef MIXT_TOOLS_VERBS_H
#define MIXT_TOOLS_VERBS_H

int train_main(int argc, char **argv);
int translate_main(int argc, char **argv);
int convert_main(int argc, char **argv);
int score_main(int argc, char **argv);
int bleu_main(int argc, char **argv);
int subword_main(int argc, char **argv);
int moses_main(int argc, char **argv);
int prep_main(int argc, char **argv);
int info_main(int argc, char **argv);
int plan_main(int argc, char **argv);
int lab_main(int argc, char **argv);
int bench_main(int argc, char **argv);
int launch_main(int argc, char **argv);

#endif
