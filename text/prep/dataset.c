/* The data sets that are built in: WMT 2014 and Multi30k, with the figures published for them. */
#include "text/prep/dataset.h"

#include <string.h>
#include <strings.h>

/* Archives of the European and the news part serve both language pairs. */
#define EUROPARL                                                                                   \
    {                                                                                              \
        .name = "training-parallel-europarl-v7.tgz",                                               \
        .urls = {"https://www.statmt.org/wmt13/training-parallel-europarl-v7.tgz",                 \
                 "http://www.statmt.org/wmt13/training-parallel-europarl-v7.tgz"},                 \
        .bytes = 657632379,                                                                        \
        .sha256 = "0224c7c710c8a063dfd893b0cc0830202d61f4c75c17eb8e31836103d27d96e7",              \
    }

#define COMMONCRAWL                                                                                \
    {                                                                                              \
        .name = "training-parallel-commoncrawl.tgz",                                               \
        .urls = {"https://www.statmt.org/wmt13/training-parallel-commoncrawl.tgz",                 \
                 "http://www.statmt.org/wmt13/training-parallel-commoncrawl.tgz"},                 \
        .bytes = 918311367,                                                                        \
        .sha256 = "c7a74e2ea01ac6c920123108627e35278d4ccb5701e15428ffa34de86fa3a9e5",              \
    }

#define NEWS_COMMENTARY                                                                            \
    {                                                                                              \
        .name = "training-parallel-nc-v9.tgz",                                                     \
        .urls = {"https://www.statmt.org/wmt14/training-parallel-nc-v9.tgz",                       \
                 "http://www.statmt.org/wmt14/training-parallel-nc-v9.tgz"},                       \
        .bytes = 80418416,                                                                         \
        .sha256 = "cb8953f292298e6877ae433c98912b927cb0766b303f4540512ddd286c748485",              \
    }

#define DEV                                                                                        \
    {                                                                                              \
        .name = "dev.tgz",                                                                         \
        .urls = {"https://data.statmt.org/wmt19/translation-task/dev.tgz",                         \
                 "http://data.statmt.org/wmt19/translation-task/dev.tgz"},                         \
        .bytes = 38654961,                                                                         \
        .sha256 = "7a7deccf82ebb05ba508dba5eb21356492224e8f630ec4f992132b029b4b25e7",              \
    }

#define TEST_2012                                                                                  \
    {                                                                                              \
        .name = "wmt12-test.tgz",                                                                  \
        .urls = {"https://statmt.org/wmt12/test.tgz", "http://www.statmt.org/wmt12/test.tgz"},     \
        .md5 = "608232d34ebc4ba2ff70fead45674e47",                                                 \
    }

#define TEST_2013                                                                                  \
    {                                                                                              \
        .name = "wmt13-test.tgz",                                                                  \
        .urls = {"https://statmt.org/wmt13/test.tgz", "http://www.statmt.org/wmt13/test.tgz"},     \
        .md5 = "48eca5d02f637af44e85186847141f67",                                                 \
    }

#define TEST_2014                                                                                  \
    {                                                                                              \
        .name = "test-full.tgz",                                                                   \
        .urls = {"https://statmt.org/wmt14/test-full.tgz",                                         \
                 "http://www.statmt.org/wmt14/test-full.tgz"},                                     \
        .bytes = 3255445, .md5 = "a8cd784e006feb32ac6f3d9ec7eb389a",                               \
    }

/* A text with its places; the macro spares a name for each list. */
#define TEXT(PART, NAME, LINES, ...)                                                               \
    {                                                                                              \
        .part = (PART), .name = (NAME), .lines = (LINES),                                          \
        .sources = (const struct dataset_source[]){__VA_ARGS__},                                   \
        .n_sources =                                                                               \
            sizeof(const struct dataset_source[]){__VA_ARGS__} / sizeof(struct dataset_source),    \
    }

/* Both sides in one archive. */
#define FROM(ARCHIVE, SOURCE, TARGET)                                                              \
    {                                                                                              \
        .sides = {                                                                                 \
            {.archive = (ARCHIVE), .member = (SOURCE)},                                            \
            {.archive = (ARCHIVE), .member = (TARGET)}                                             \
        }                                                                                          \
    }

/* A held-out set of a year: from the archive of all of them, else from that year's own, where the
 * target is named as another source. */
#define HELD_OUT(YEAR, LINES, COLLECTION, OWN, LANGUAGE)                                           \
    TEXT(DATASET_DEV, "newstest" YEAR, LINES,                                                      \
         FROM(COLLECTION, "dev/newstest" YEAR "-src.en.sgm",                                       \
              "dev/newstest" YEAR "-ref." LANGUAGE ".sgm"),                                        \
         FROM(OWN, "test/newstest" YEAR "-src.en.sgm",                                             \
              "test/newstest" YEAR "-src." LANGUAGE ".sgm"),                                       \
         FROM(COLLECTION, "dev/newstest" YEAR ".en", "dev/newstest" YEAR "." LANGUAGE))

enum {
    GERMAN_EUROPARL,
    GERMAN_COMMONCRAWL,
    GERMAN_NEWS,
    GERMAN_DEV,
    GERMAN_TEST_2014,
    GERMAN_TEST_2012,
    GERMAN_TEST_2013
};

static const struct dataset_archive german_archives[] = {
    [GERMAN_EUROPARL] = EUROPARL,    [GERMAN_COMMONCRAWL] = COMMONCRAWL,
    [GERMAN_NEWS] = NEWS_COMMENTARY, [GERMAN_DEV] = DEV,
    [GERMAN_TEST_2014] = TEST_2014,  [GERMAN_TEST_2012] = TEST_2012,
    [GERMAN_TEST_2013] = TEST_2013,
};

static const struct dataset_text german_texts[] = {
    TEXT(DATASET_TRAIN, "europarl-v7", 1920209,
         FROM(GERMAN_EUROPARL, "training/europarl-v7.de-en.en", "training/europarl-v7.de-en.de")),
    TEXT(DATASET_TRAIN, "commoncrawl", 2399123,
         FROM(GERMAN_COMMONCRAWL, "commoncrawl.de-en.en", "commoncrawl.de-en.de")),
    TEXT(DATASET_TRAIN, "news-commentary-v9", 201288,
         FROM(GERMAN_NEWS, "training/news-commentary-v9.de-en.en",
              "training/news-commentary-v9.de-en.de")),
    HELD_OUT("2012", 3003, GERMAN_DEV, GERMAN_TEST_2012, "de"),
    HELD_OUT("2013", 3000, GERMAN_DEV, GERMAN_TEST_2013, "de"),
    TEXT(DATASET_TEST, "newstest2014", 3003,
         FROM(GERMAN_TEST_2014, "test-full/newstest2014-deen-src.en.sgm",
              "test-full/newstest2014-deen-ref.de.sgm")),
};

enum {
    FRENCH_EUROPARL,
    FRENCH_COMMONCRAWL,
    FRENCH_UN,
    FRENCH_NEWS,
    FRENCH_GIGA,
    FRENCH_DEV,
    FRENCH_TEST_2014,
    FRENCH_TEST_2012,
    FRENCH_TEST_2013
};

static const struct dataset_archive french_archives[] = {
    [FRENCH_EUROPARL] = EUROPARL,
    [FRENCH_COMMONCRAWL] = COMMONCRAWL,
    [FRENCH_UN] =
        {
            .name = "training-parallel-un.tgz",
            .urls = {"https://www.statmt.org/wmt13/training-parallel-un.tgz",
                     "http://www.statmt.org/wmt13/training-parallel-un.tgz"},
            .bytes = 2365634246,
            .sha256 = "29141b5c1eba149a94f7a59d3b1a834b2e47fe0f8758d68dcd77a3d3f497ee47",
        },
    [FRENCH_NEWS] = NEWS_COMMENTARY,
    [FRENCH_GIGA] =
        {
            .name = "training-giga-fren.tar",
            .urls = {"https://www.statmt.org/wmt10/training-giga-fren.tar",
                     "http://www.statmt.org/wmt10/training-giga-fren.tar"},
            .bytes = 2595102720,
            .sha256 = "3ff8319f6919393520559bfbc7ad6a747ec81b3abc7be9993b338d4b017b4d9a",
        },
    [FRENCH_DEV] = DEV,
    [FRENCH_TEST_2014] = TEST_2014,
    [FRENCH_TEST_2012] = TEST_2012,
    [FRENCH_TEST_2013] = TEST_2013,
};

/* No counts are published for these texts one by one, only for their sum. */
static const struct dataset_text french_texts[] = {
    TEXT(DATASET_TRAIN, "europarl-v7", 0,
         FROM(FRENCH_EUROPARL, "training/europarl-v7.fr-en.en", "training/europarl-v7.fr-en.fr")),
    TEXT(DATASET_TRAIN, "commoncrawl", 0,
         FROM(FRENCH_COMMONCRAWL, "commoncrawl.fr-en.en", "commoncrawl.fr-en.fr")),
    TEXT(DATASET_TRAIN, "undoc-2000", 0,
         FROM(FRENCH_UN, "un/undoc.2000.fr-en.en", "un/undoc.2000.fr-en.fr")),
    TEXT(DATASET_TRAIN, "news-commentary-v9", 0,
         FROM(FRENCH_NEWS, "training/news-commentary-v9.fr-en.en",
              "training/news-commentary-v9.fr-en.fr")),
    TEXT(DATASET_TRAIN, "giga-fren-release2", 0,
         FROM(FRENCH_GIGA, "giga-fren.release2.fixed.en.gz", "giga-fren.release2.fixed.fr.gz")),
    HELD_OUT("2012", 3003, FRENCH_DEV, FRENCH_TEST_2012, "fr"),
    HELD_OUT("2013", 3000, FRENCH_DEV, FRENCH_TEST_2013, "fr"),
    TEXT(DATASET_TEST, "newstest2014", 3003,
         FROM(FRENCH_TEST_2014, "test-full/newstest2014-fren-src.en.sgm",
              "test-full/newstest2014-fren-ref.fr.sgm")),
};

/* A compressed text of Multi30k, fixed by the hash of the text and not of its compressed form,
 * which differs between copies. */
#define CAPTIONS(NAME)                                                                             \
    {                                                                                              \
        .name = NAME ".gz",                                                                        \
        .urls = {"https://raw.githubusercontent.com/multi30k/dataset/"                             \
                 "2cc0f2d7c615b60e07e2d51bb5edc004444d7e0e/data/task1/raw/" NAME ".gz",            \
                 "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw/" NAME  \
                 ".gz"},                                                                           \
    }

static const struct dataset_archive captions_archives[] = {
    CAPTIONS("train.en"),
    CAPTIONS("train.de"),
    CAPTIONS("val.en"),
    CAPTIONS("val.de"),
    CAPTIONS("test_2016_flickr.en"),
    CAPTIONS("test_2016_flickr.de"),
};

#define ALONE(FIRST, SOURCE_SHA256, TARGET_SHA256)                                                 \
    {                                                                                              \
        .sides = {                                                                                 \
            {.archive = (FIRST), .sha256 = (SOURCE_SHA256)},                                       \
            {.archive = (FIRST) + 1, .sha256 = (TARGET_SHA256)}                                    \
        }                                                                                          \
    }

static const struct dataset_text captions_texts[] = {
    TEXT(DATASET_TRAIN, "train", 29000,
         ALONE(0, "460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6",
               "2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72")),
    TEXT(DATASET_DEV, "val", 1014,
         ALONE(2, "1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227",
               "660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660")),
    TEXT(DATASET_TEST, "test_2016_flickr", 1000,
         ALONE(4, "399a4382932c1aadd3ceb9bef1008d388a64c76d4ae4e9d4728c6f4301cac182",
               "4be6b5b3236b79c25475c6bb829800a7ce559e9ba7a1f6c2394fe4d40be46d16")),
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct dataset datasets[] = {
    {
        .name = "wmt14-en-de",
        .languages = {"en", "de"},
        .archives = german_archives,
        .n_archives = COUNT(german_archives),
        .texts = german_texts,
        .n_texts = COUNT(german_texts),
        .pairs = 4508785,
    },
    {
        .name = "wmt14-en-fr",
        .languages = {"en", "fr"},
        .archives = french_archives,
        .n_archives = COUNT(french_archives),
        .texts = french_texts,
        .n_texts = COUNT(french_texts),
        .pairs = 40836715,
        .tolerance = 0.005,
    },
    {
        .name = "multi30k",
        .languages = {"en", "de"},
        .archives = captions_archives,
        .n_archives = COUNT(captions_archives),
        .texts = captions_texts,
        .n_texts = COUNT(captions_texts),
    },
};

const struct dataset *dataset_find(const char *name)
{
    for (size_t i = 0; i < COUNT(datasets); i++) {
        if (strcmp(datasets[i].name, name) == 0)
            return &datasets[i];
    }
    return NULL;
}

const char *dataset_builtin_name(size_t i)
{
    return i < COUNT(datasets) ? datasets[i].name : NULL;
}

const char *dataset_part_name(enum dataset_part part)
{
    static const char *const names[DATASET_N_PARTS] = {"train", "dev", "test"};
    return names[part];
}

const char *dataset_side_name(const struct dataset *dataset, const struct dataset_side *side)
{
    return side->member != NULL ? side->member : dataset->archives[side->archive].name;
}

static bool ends_in(const char *name, size_t size, const char *ending)
{
    const size_t length = strlen(ending);
    return size > length && strncasecmp(name + size - length, ending, length) == 0;
}

bool dataset_is_sgml(const struct dataset *dataset, const struct dataset_side *side)
{
    const char *name = dataset_side_name(dataset, side);
    size_t size = strlen(name);
    if (ends_in(name, size, ".gz"))
        size -= strlen(".gz");
    return ends_in(name, size, ".sgm") || ends_in(name, size, ".sgml");
}
