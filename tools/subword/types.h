/* The kinds of subword model behind 'mixt subword': one set of verbs for each.
 *
 * Each parses its own command line (argv[0] is the verb), prints its own errors and returns the
 * exit code. --type stays among the arguments: every table has a row for it. */
#ifndef MIXT_TOOLS_SUBWORD_TYPES_H
#define MIXT_TOOLS_SUBWORD_TYPES_H

/* SentencePiece: unigram, bpe, word and char. */
int sentencepiece_train_main(int argc, char **argv);
int sentencepiece_encode_main(int argc, char **argv);
int sentencepiece_decode_main(int argc, char **argv);
int sentencepiece_vocab_main(int argc, char **argv);
int sentencepiece_normalize_main(int argc, char **argv);

/* subword-nmt: merges of characters within words, in a file of codes. */
int subword_nmt_learn_main(int argc, char **argv);
int subword_nmt_apply_main(int argc, char **argv);
int subword_nmt_decode_main(int argc, char **argv);
int subword_nmt_vocab_main(int argc, char **argv);
int subword_nmt_joint_main(int argc, char **argv);
int subword_nmt_segment_main(int argc, char **argv);

/* Wordpieces: a list of pieces, the longest first, those inside words marked. */
int wordpiece_train_main(int argc, char **argv);
int wordpiece_encode_main(int argc, char **argv);
int wordpiece_decode_main(int argc, char **argv);
int wordpiece_vocab_main(int argc, char **argv);

#endif
