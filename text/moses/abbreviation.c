/* The decisions of Moses' lists of non-breaking prefixes, as far as they can matter: words with a
 * dot inside ("e.g", "z.B") are kept by a rule of the tokenizer's own, and words with characters
 * that it splits off ("n/réf") never reach the lists. */
#include "text/moses/abbreviation.h"

#include <stdbool.h>
#include <string.h>

enum { LONGEST_WORD = 7 };

/* Each list is in the order of strcmp(). */
static const char *const english_and_german[] = {
    "Adj",  "Adm",   "Adv",  "Asst", "Bart", "Bldg", "Brig", "Bros", "Capt", "Cmdr",
    "Col",  "Comdr", "Con",  "Corp", "Cpl",  "DR",   "Dr",   "Ens",  "Gen",  "Gov",
    "Hon",  "Hosp",  "Insp", "Lt",   "MM",   "MR",   "MRS",  "MS",   "Maj",  "Messrs",
    "Mlle", "Mme",   "Mr",   "Mrs",  "Ms",   "Msgr", "Nos",  "Nr",   "Op",   "Ord",
    "Pfc",  "Ph",    "Prof", "Pvt",  "Rep",  "Reps", "Res",  "Rev",  "Rt",   "Sen",
    "Sens", "Sfc",   "Sgt",  "Sr",   "St",   "Supt", "Surg", "vs",
};

static const char *const english[] = {
    "Apr", "Aug", "Dec", "Drs", "Feb", "Hr", "Jan", "Jul", "Jun", "Mar", "Nov", "Oct", "Sep", "rev",
};

static const char *const german[] = {
    "Art", "BSE", "Buchst", "Ca",   "Chr",   "Co",  "Dkr",   "Ltd", "Mio", "Mrd",  "MwSt", "No",
    "SA",  "Std", "Zt",     "bzgl", "bzw",   "ca",  "dergl", "dgl", "etc", "evtl", "ff",   "ggf",
    "jun", "pp",  "sen",    "sog",  "sogen", "spp", "usf",   "usw", "vgl", "zzt",
};

static const char *const french[] = {
    "MM",   "SS",    "al",   "ann", "apr",   "art", "auj",  "av",  "boul", "ca",   "cf",
    "chap", "contr", "dir",  "env", "etc",   "ex",  "fasc", "fig", "fr",   "fém",  "hab",
    "ibid", "id",    "inf",  "lib", "masc",  "ms",  "pl",   "pp",  "sec",  "sect", "sing",
    "sq",   "sqq",   "suiv", "sup", "suppl", "tél", "vb",   "vol", "vs",   "éd",
};

/* Centuries, rulers and chapters; German, also in small letters. */
static const char *const roman[] = {
    "II",   "III", "IV",  "IX", "VI",  "VII",  "VIII",  "XI", "XII",
    "XIII", "XIV", "XIX", "XV", "XVI", "XVII", "XVIII", "XX",
};

/* English, where a number follows. */
static const char *const before_digits[] = {"Art", "No", "pp"};

#define CONTAINS(list, word) contains(list, sizeof(list) / sizeof((list)[0]), word)

static bool contains(const char *const *list, size_t n, const char *word)
{
    size_t low = 0, high = n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(word, list[middle]);
        if (order == 0)
            return true;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

static bool is_capital(char letter)
{
    return letter >= 'A' && letter <= 'Z';
}

static bool is_small(char letter)
{
    return letter >= 'a' && letter <= 'z';
}

/* Initials; small letters count where the language numbers its lists with them. "a" is a French
 * word, as in "Il y en a." */
static bool is_letter(enum moses_language language, char letter)
{
    if (is_capital(letter))
        return true;
    if (language == MOSES_ENGLISH)
        return letter == 'v';
    return is_small(letter) && (language == MOSES_GERMAN || letter != 'a');
}

/* A German ordinal or day, 1 to 99. */
static bool is_ordinal(const char *word, size_t size)
{
    if (size > 2 || word[0] < '1' || word[0] > '9')
        return false;
    return size == 1 || (word[1] >= '0' && word[1] <= '9');
}

static bool is_roman(const char *word, size_t size)
{
    char capitals[LONGEST_WORD + 1] = "";
    size_t n_small = 0;
    for (size_t i = 0; i < size; i++) {
        n_small += is_small(word[i]) ? 1 : 0;
        capitals[i] = is_small(word[i]) ? (char)(word[i] - 'a' + 'A') : word[i];
    }
    return (n_small == 0 || n_small == size) && CONTAINS(roman, capitals);
}

static enum abbreviation find_english(enum moses_release release, const char *word)
{
    if (CONTAINS(english_and_german, word) || CONTAINS(english, word))
        return ABBREVIATION_ALWAYS;
    if (release != MOSES_RELEASE_4 && strcmp(word, "Rs") == 0)
        return ABBREVIATION_ALWAYS;
    return CONTAINS(before_digits, word) ? ABBREVIATION_BEFORE_DIGITS : ABBREVIATION_NONE;
}

static bool is_german(const char *word, size_t size)
{
    return CONTAINS(english_and_german, word) || CONTAINS(german, word) || is_ordinal(word, size) ||
           is_roman(word, size);
}

enum abbreviation abbreviation_find(enum moses_language language, enum moses_release release,
                                    const char *word, size_t size)
{
    if (size == 0 || size > LONGEST_WORD)
        return ABBREVIATION_NONE;
    if (size == 1 && is_letter(language, word[0]))
        return ABBREVIATION_ALWAYS;
    char terminated[LONGEST_WORD + 1] = "";
    memcpy(terminated, word, size);
    bool is_kept = false;
    switch (language) {
    case MOSES_ENGLISH:
        return find_english(release, terminated);
    case MOSES_GERMAN:
        is_kept = is_german(terminated, size);
        break;
    case MOSES_FRENCH:
        is_kept = CONTAINS(french, terminated);
        break;
    }
    return is_kept ? ABBREVIATION_ALWAYS : ABBREVIATION_NONE;
}
