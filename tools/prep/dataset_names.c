/* What mixt prep has to know about data sets on every build, with the libraries and without. */
#include "text/prep/dataset.h"
#include "tools/prep/dataset.h"

bool prep_is_dataset(const char *word)
{
    return dataset_find(word) != NULL;
}

struct prep_rules prep_dataset_rules(void)
{
    struct prep_rules rules = prep_rules_default();
    rules.max_characters = 0;
    rules.max_words = 0;
    rules.min_characters = 0;
    rules.min_words = 0;
    rules.max_ratio = 0;
    rules.drops_copies = false;
    rules.max_foreign = 1;
    rules.max_non_letters = 1;
    rules.duplicates = PREP_DUPLICATES_KEEP;
    return rules;
}
