// What the two C++ files of this folder share: no exception leaves them, and the library is silent.
#ifndef MIXT_TEXT_SUBWORD_SENTENCEPIECE_GUARD_HH
#define MIXT_TEXT_SUBWORD_SENTENCEPIECE_GUARD_HH

#include <exception>
#include <new>
#include <string>

#include <sentencepiece_processor.h>

extern "C" {
#include "base/status.h"
}

// Runs function, which returns a status, and turns exceptions into one; what is for the message.
template <typename Function> status guarded(const char *what, Function function) noexcept
{
    try {
        return function();
    } catch (const std::bad_alloc &) {
        return status_set(STATUS_MEMORY, "%s: no memory", what);
    } catch (const std::exception &error) {
        return status_set(STATUS_FAILED, "%s: %s", what, error.what());
    } catch (...) {
        return status_set(STATUS_FAILED, "%s: unknown failure in SentencePiece", what);
    }
}

// The library's level for messages that no one wants.
constexpr const char *kSilent = "3";

// Sets the lowest level of the library's messages that reach stderr: "0" (all) to "3" (none).
void set_message_level(const std::string &level);

// Once: sets kSilent, before the library's first use.
void silence();

// "Internal: ./src/x.cc(1) [condition] reason" -> "reason", or "condition" where no reason follows.
std::string reason_of(const sentencepiece::util::Status &result);

#endif
