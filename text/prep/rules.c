#include "text/prep/rules.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"

struct prep_rules prep_rules_default(void)
{
    return (struct prep_rules){
        .clean = {.form = CLEAN_NFC},
        .max_characters = 5000,
        .max_words = 250,
        .max_ratio = 2.5,
        .ratio_slack = 5,
        .drops_copies = true,
        .max_foreign = 0.5,
        .max_non_letters = 0.75,
        .duplicates = PREP_DUPLICATES_PAIR,
    };
}

const char *prep_rule_name(enum prep_rule rule)
{
    static const char *const names[PREP_N_RULES] = {
        [PREP_EMPTY] = "empty",
        [PREP_TOO_LONG] = "too-long",
        [PREP_TOO_SHORT] = "too-short",
        [PREP_RATIO] = "ratio",
        [PREP_COPY] = "copy",
        [PREP_SCRIPT] = "script",
        [PREP_NON_LETTERS] = "non-letters",
        [PREP_DUPLICATE] = "duplicate",
    };
    CHECK(rule < PREP_N_RULES, "rule %d", (int)rule);
    return names[rule];
}

static const char *duplicates_text(enum prep_duplicates duplicates)
{
    switch (duplicates) {
    case PREP_DUPLICATES_PAIR:
        return "the pair was there before";
    case PREP_DUPLICATES_SOURCE:
        return "the source was there before";
    case PREP_DUPLICATES_TARGET:
        return "the target was there before";
    case PREP_DUPLICATES_KEEP:
        break;
    }
    return "off: duplicates are kept";
}

/* "a side has over 250 words or 5000 characters", or that the rule is off. */
static void describe_lengths(const char *direction, double words, int64_t characters,
                             char text[PREP_REASON_BYTES])
{
    if (words > 0 && characters > 0)
        snprintf(text, PREP_REASON_BYTES, "a side has %s %g words or %lld characters", direction,
                 words, (long long)characters);
    else if (words > 0)
        snprintf(text, PREP_REASON_BYTES, "a side has %s %g words", direction, words);
    else if (characters > 0)
        snprintf(text, PREP_REASON_BYTES, "a side has %s %lld characters", direction,
                 (long long)characters);
    else
        snprintf(text, PREP_REASON_BYTES, "off");
}

void prep_rule_describe(const struct prep_rules *rules, enum prep_rule rule,
                        char text[PREP_REASON_BYTES])
{
    const char *plain = "off";
    switch (rule) {
    case PREP_EMPTY:
        plain = "a side is empty or white space";
        break;
    case PREP_TOO_LONG:
        describe_lengths("over", rules->max_words, rules->max_characters, text);
        return;
    case PREP_TOO_SHORT:
        describe_lengths("under", rules->min_words, rules->min_characters, text);
        return;
    case PREP_RATIO:
        if (!(rules->max_ratio > 0))
            break;
        snprintf(text, PREP_REASON_BYTES,
                 "a side has over %g times the words of the other and %g more", rules->max_ratio,
                 rules->ratio_slack);
        return;
    case PREP_COPY:
        plain = rules->drops_copies ? "both sides are the same text" : plain;
        break;
    case PREP_SCRIPT:
        if (!(rules->max_foreign < 1))
            break;
        snprintf(text, PREP_REASON_BYTES,
                 "over %g %% of a side's letters are not of its language's scripts",
                 100 * rules->max_foreign);
        return;
    case PREP_NON_LETTERS:
        if (!(rules->max_non_letters < 1))
            break;
        snprintf(text, PREP_REASON_BYTES, "over %g %% of a side's characters are not letters",
                 100 * rules->max_non_letters);
        return;
    case PREP_DUPLICATE:
        plain = duplicates_text(rules->duplicates);
        break;
    case PREP_KEEP:
        break;
    }
    snprintf(text, PREP_REASON_BYTES, "%s", plain);
}

static bool is_too_long(const struct prep_rules *rules, const struct measure *side)
{
    return (rules->max_characters > 0 && side->characters > rules->max_characters) ||
           (rules->max_words > 0 && side->words > rules->max_words);
}

static bool is_too_short(const struct prep_rules *rules, const struct measure *side)
{
    return side->characters < rules->min_characters || side->words < rules->min_words;
}

/* Without slack "Yes." could not be translated by "Ja, das stimmt."; with it short sentences have
 * room, and for long ones it is nothing. */
static bool is_out_of_ratio(const struct prep_rules *rules, double a, double b)
{
    const double longer = a > b ? a : b, shorter = a > b ? b : a;
    return rules->max_ratio > 0 && longer > rules->max_ratio * shorter + rules->ratio_slack;
}

static bool is_foreign(const struct prep_rules *rules, const struct measure *side)
{
    return rules->max_foreign < 1 &&
           (double)side->foreign > rules->max_foreign * (double)side->letters;
}

static bool is_without_letters(const struct prep_rules *rules, const struct measure *side)
{
    return rules->max_non_letters < 1 &&
           (double)(side->visible - side->letters) > rules->max_non_letters * (double)side->visible;
}

static bool is_same_text(const struct pair *pair)
{
    return pair->source.size == pair->target.size &&
           memcmp(pair->source.bytes, pair->target.bytes, pair->source.size) == 0;
}

enum prep_rule prep_judge(const struct prep_rules *rules, const struct pair *pair,
                          const struct script_set *source_scripts,
                          const struct script_set *target_scripts)
{
    const struct measure source =
        measure_text(pair->source.bytes, pair->source.size, source_scripts);
    const struct measure target =
        measure_text(pair->target.bytes, pair->target.size, target_scripts);
    if (source.visible == 0 || target.visible == 0)
        return PREP_EMPTY;
    if (is_too_long(rules, &source) || is_too_long(rules, &target))
        return PREP_TOO_LONG;
    if (is_too_short(rules, &source) || is_too_short(rules, &target))
        return PREP_TOO_SHORT;
    if (is_out_of_ratio(rules, source.words, target.words))
        return PREP_RATIO;
    if (rules->drops_copies && is_same_text(pair))
        return PREP_COPY;
    if (is_foreign(rules, &source) || is_foreign(rules, &target))
        return PREP_SCRIPT;
    if (is_without_letters(rules, &source) || is_without_letters(rules, &target))
        return PREP_NON_LETTERS;
    return PREP_KEEP;
}
