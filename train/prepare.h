/* What training needs before its first step: a subword model and the corpus. */
#ifndef MIXT_TRAIN_PREPARE_H
#define MIXT_TRAIN_PREPARE_H

#include "model/config.h"
#include "text/corpus.h"
#include "train/report.h"

/* Opens data.subword.model, or trains a joint model on all of data.train, with a
 * piece for each of data.languages. */
enum status prepare_subword(const struct config *config, struct report *report,
                            struct subword **subword) STATUS_CHECKED;

/* Loads the files of data.train or data.valid, all pairs of all texts; fills in the options' files,
 * prefixes and subword models. */
enum status prepare_load(const struct config *config, const struct config_paths *paths,
                         const struct subword *subword, struct corpus_options *options,
                         struct corpus *corpus) STATUS_CHECKED;

/* Loads data.train as this epoch (0, 1, ...) sees it: with data.subword.sampling every epoch cuts
 * the words anew. */
enum status prepare_corpus(const struct config *config, const struct subword *subword, int threads,
                           int64_t epoch, struct corpus *corpus) STATUS_CHECKED;

/* Tells what was read and what was left out. */
void prepare_tell(const struct corpus *corpus, const struct config *config, struct report *report);

#endif
