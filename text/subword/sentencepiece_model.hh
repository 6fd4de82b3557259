// What the C++ files of this folder that use models share.
#ifndef MIXT_TEXT_SUBWORD_SENTENCEPIECE_MODEL_HH
#define MIXT_TEXT_SUBWORD_SENTENCEPIECE_MODEL_HH

#include <string>
#include <vector>

#include <sentencepiece_processor.h>

extern "C" {
#include "text/subword/sentencepiece.h"
#include "text/subword/subword_file.h"
#include "text/subword/subword_sample.h"
}
#include "text/subword/sentencepiece_guard.hh"

// What subword_set_extra() may ask for.
enum class Extra { kBos, kEos, kReverse, kUnknown };

// What the opaque handle of the header holds.
struct subword {
    sentencepiece::SentencePieceProcessor processor;
    std::string serialized;
    subword_file file = {};
    sampler *segments = nullptr;
    std::vector<Extra> extra; // what is done to each segmentation, in this order

    subword() = default;
    subword(const subword &) = delete;
    subword &operator=(const subword &) = delete;
    ~subword()
    {
        sampler_close(segments);
    }
};

inline status failed(const char *what, const sentencepiece::util::Status &result)
{
    return status_set(STATUS_FAILED, "%s failed: %s", what, reason_of(result).c_str());
}

#endif
