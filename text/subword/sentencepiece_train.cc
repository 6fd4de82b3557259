// Training: lines in, the bytes of a model out.
//
// Every entry point runs inside guarded(), which turns exceptions into status codes.

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <sentencepiece_trainer.h>

extern "C" {
#include "text/subword/sentencepiece_train.h"
#include "text/subword/subword_file.h"
}
#include "text/subword/sentencepiece_fields.hh"
#include "text/subword/sentencepiece_guard.hh"
#include "text/subword/sentencepiece_input.hh"

namespace spm = sentencepiece;

namespace
{

using Arguments = std::unordered_map<std::string, std::string>;

// The library splits its sums into one part per thread, so another number gives another model.
constexpr const char *kTrainingThreads = "16";
// The library indexes the training text with 32-bit numbers unless it is told otherwise, and a text
// may grow as it is normalised.
constexpr int64_t kMaxTrainingBytes = INT64_C(1) << 30;
constexpr int64_t kMaxSpmTrainingBytes = INT64_C(2000) << 20;

bool is_one_of(const char *word, std::initializer_list<const char *> choices)
{
    return std::any_of(choices.begin(), choices.end(),
                       [word](const char *choice) { return std::strcmp(word, choice) == 0; });
}

status add_line(Intake &intake, std::string_view line, Sample &sample)
{
    if (!intake.admits(line))
        return STATUS_OK;
    sample.add(line);
    return sample.bytes() > intake.rules().max_text_bytes ? too_much_text(intake.rules())
                                                          : intake.look(line);
}

status collect(Intake &intake, Reader &reader, Sample &sample)
{
    for (struct line line = {};;) {
        status code = reader.next(&line);
        if (code < 0 || !line.bytes)
            return code;
        if ((code = add_line(intake, {line.bytes, line.size}, sample)) < 0)
            return code;
    }
}

status too_large(int given, int limit)
{
    status_set(STATUS_CONFIG,
               "subword size %d is too large for this text; the largest allowed is %d", given,
               limit);
    status_hint("set the size to %d or less, or train on more text", limit);
    return STATUS_CONFIG;
}

status too_small(int given, int limit)
{
    status_set(STATUS_CONFIG,
               "subword size %d is too small for the characters of this text; the smallest allowed "
               "is %d",
               given, limit);
    status_hint("set the size to %d or more, or lower the coverage", limit);
    return STATUS_CONFIG;
}

// The failures a user can cure are told by what the library's sentence holds.
status explain_failure(const std::string &reason)
{
    int given = 0, limit = 0;
    const char *sentence = std::strstr(reason.c_str(), "Vocabulary size too high");
    if (sentence &&
        std::sscanf(sentence, "Vocabulary size too high (%d). Please set it to a value <= %d",
                    &given, &limit) == 2)
        return too_large(given, limit);
    sentence = std::strstr(reason.c_str(), "Vocabulary size is smaller than required_chars");
    if (sentence &&
        std::sscanf(sentence, "Vocabulary size is smaller than required_chars. %d vs %d", &given,
                    &limit) == 2)
        return too_small(given, limit);
    if (reason == "!sentences_.empty()")
        return status_set(STATUS_DATA,
                          "no text to train a subword model on: every line has U+2585, "
                          "which the library keeps for itself");
    if (reason.find("insert_id(") == 0)
        return status_set(STATUS_CONFIG, "the ids of the special pieces are not all different and "
                                         "below the size of the vocabulary");
    if (reason.find("insert_meta_symbol(") == 0)
        return status_set(STATUS_CONFIG, "a control or user-defined symbol is given twice");
    return status_set(STATUS_FAILED, "subword training failed: %s", reason.c_str());
}

status run(const Arguments &arguments, LineIterator &lines, std::string *model)
{
    const auto result = spm::SentencePieceTrainer::Train(arguments, &lines, model);
    if (lines.code() < 0 || result.ok())
        return lines.code();
    const bool is_option = result.code() == spm::util::StatusCode::kNotFound ||
                           result.code() == spm::util::StatusCode::kInvalidArgument;
    if (is_option)
        return status_set(STATUS_CONFIG, "subword training: %s", reason_of(result).c_str());
    return explain_failure(reason_of(result));
}

status check_options(const subword_train_options &options)
{
    if (!is_one_of(options.type, {"unigram", "bpe"}))
        return status_set(STATUS_CONFIG, "subword type '%s' is not known; use unigram or bpe",
                          options.type);
    if (!is_one_of(options.normalize, {"nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf", "identity"}))
        return status_set(STATUS_CONFIG,
                          "normalisation '%s' is not known; use nmt_nfkc, nfkc, nmt_nfkc_cf, "
                          "nfkc_cf or identity",
                          options.normalize);
    if (options.size < 5 || options.size > SUBWORD_MAX_PIECES)
        return status_set(STATUS_CONFIG, "subword size %" PRId64 " is not in 5..%d", options.size,
                          static_cast<int>(SUBWORD_MAX_PIECES));
    if (!(options.coverage >= 0.98 && options.coverage <= 1.0))
        return status_set(STATUS_CONFIG, "subword coverage %g is not in 0.98..1", options.coverage);
    if (options.sample_lines < 1)
        return status_set(STATUS_CONFIG, "a sample of %" PRId64 " lines is not at least 1",
                          options.sample_lines);
    if (options.max_line_bytes < 1 || options.max_line_bytes > (1u << 20))
        return status_set(STATUS_CONFIG, "a longest line of %zu bytes is not in 1..1048576",
                          options.max_line_bytes);
    return STATUS_OK;
}

Arguments trainer_arguments(const subword_train_options &options)
{
    char coverage[32]; // by whole numbers: printing a fraction depends on the locale
    const int millionths = static_cast<int>(std::lround(options.coverage * 1e6));
    std::snprintf(coverage, sizeof coverage, "%d.%06d", millionths / 1000000, millionths % 1000000);
    return {
        {"minloglevel", kSilent},
        {"model_type", options.type},
        {"vocab_size", std::to_string(options.size)},
        {"character_coverage", coverage},
        {"normalization_rule_name", options.normalize},
        {"control_symbols", options.control ? options.control : ""},
        {"byte_fallback", options.byte_fallback ? "true" : "false"},
        {"max_sentence_length", std::to_string(options.max_line_bytes)},
        {"num_threads", kTrainingThreads},
        {"pad_id", std::to_string(SUBWORD_PAD)},
        {"unk_id", std::to_string(SUBWORD_UNKNOWN)},
        {"bos_id", std::to_string(SUBWORD_BOS)},
        {"eos_id", std::to_string(SUBWORD_EOS)},
    };
}

status train(const subword_train_options &options, buffer *model, subword_train_report &report)
{
    status code = check_options(options);
    if (code < 0)
        return code;
    silence();
    const Rules rules = {options.max_line_bytes, false, false, kMaxTrainingBytes};
    Intake intake(rules, options.normalize, "", report);
    Sample sample(static_cast<size_t>(options.sample_lines), options.seed);
    Reader reader(options.paths, options.n_paths, false);
    if ((code = collect(intake, reader, sample)) < 0)
        return code;
    for (size_t i = 0; i < options.n_texts; i++) {
        const subword_text &text = options.texts[i];
        if ((code = add_line(intake, {text.bytes, text.size}, sample)) < 0)
            return code;
    }
    report.sampled = static_cast<int64_t>(sample.lines().size());
    if ((code = intake.finish()) < 0)
        return code;
    SampleIterator lines(sample.lines());
    std::string serialized;
    code = run(trainer_arguments(options), lines, &serialized);
    return code < 0 ? code : buffer_append(model, serialized.data(), serialized.size());
}

// Writes the names of the files into the model: the fields `input` (1) and `model_prefix` (2) at
// the start of the trainer's specification, which is field 2 of the model and, like all fields of
// the model, a run of bytes. The library leaves them empty when it is handed lines.
std::string with_file_names(std::string_view model, const subword_spm_options &options)
{
    std::string names;
    for (size_t i = 0; i < options.n_paths; i++)
        append_field(names, 1, options.paths[i]);
    append_field(names, 2, options.model_prefix);
    std::string named;
    for (size_t at = 0; at < model.size();) {
        const auto [field, bytes] = next_field(model, &at);
        append_field(named, field, field == 2 ? names + std::string(bytes) : bytes);
    }
    return named;
}

// Takes a setting out of the arguments; fallback where there is none.
std::string take(Arguments &arguments, const char *name, const char *fallback)
{
    const auto found = arguments.find(name);
    if (found == arguments.end())
        return fallback;
    const std::string value = found->second;
    arguments.erase(found);
    return value;
}

int64_t number_in(const Arguments &arguments, const char *name, int64_t fallback)
{
    const auto found = arguments.find(name);
    return found == arguments.end() ? fallback : std::strtoll(found->second.c_str(), nullptr, 10);
}

std::string text_in(const Arguments &arguments, const char *name, const char *fallback)
{
    const auto found = arguments.find(name);
    return found == arguments.end() ? fallback : found->second;
}

Rules rules_of(const Arguments &arguments)
{
    const bool is_large = text_in(arguments, "train_extremely_large_corpus", "false") == "true";
    return {static_cast<size_t>(number_in(arguments, "max_sentence_length", 4192)), true,
            text_in(arguments, "input_format", "") == "tsv",
            is_large ? INT64_MAX : kMaxSpmTrainingBytes};
}

// The library draws, if it is to, from all lines.
status train_stream(const Arguments &arguments, int64_t drawn, Intake &intake, Reader &reader,
                    std::string *model)
{
    FileIterator lines(reader, drawn, intake);
    return lines.code() < 0 ? lines.code() : run(arguments, lines, model);
}

// The lines are drawn here, if there are too many.
status train_sample(const subword_spm_options &options, const Arguments &arguments, Intake &intake,
                    Reader &reader, std::string *model)
{
    const int64_t limit = options.sample_lines > 0 ? options.sample_lines : INT64_MAX;
    Sample sample(static_cast<size_t>(limit), 0);
    status code = collect(intake, reader, sample);
    if (code == STATUS_OK)
        code = intake.finish();
    if (code < 0)
        return code;
    SampleIterator lines(sample.lines());
    return run(arguments, lines, model);
}

status train_lines(const subword_spm_options &options, const Arguments &arguments,
                   std::string *model, subword_train_report &report)
{
    const int64_t drawn = number_in(arguments, "input_sentence_size", 0);
    const int64_t limit = drawn > 0 ? drawn : options.sample_lines;
    const std::string name = text_in(arguments, "normalization_rule_name", "nmt_nfkc");
    const std::string tsv = text_in(arguments, "normalization_rule_tsv", "");
    Intake intake(rules_of(arguments), name.c_str(), tsv.c_str(), report);
    intake.set_notice(options.on_read, options.context);
    Reader reader(options.paths, options.n_paths, true);
    const status code = drawn > 0 ? train_stream(arguments, drawn, intake, reader, model)
                                  : train_sample(options, arguments, intake, reader, model);
    report.sampled = report.lines - report.empty - report.too_long;
    if (limit > 0)
        report.sampled = std::min(report.sampled, limit);
    return code;
}

status train_spm(const subword_spm_options &options, buffer *model, subword_train_report &report)
{
    silence();
    Arguments arguments;
    for (size_t i = 0; i < options.n_settings; i++)
        arguments[options.settings[i].name] = options.settings[i].value;
    const std::string level = take(arguments, "minloglevel", kSilent);
    const std::string seed = take(arguments, "random_seed", "0");
    spm::SetRandomGeneratorSeed(
        static_cast<unsigned>(std::strtoul(seed.c_str(), nullptr, 10))); // all ones: any
    std::string serialized;
    set_message_level(level);
    const status code = guarded(
        "subword training", [&] { return train_lines(options, arguments, &serialized, report); });
    set_message_level(kSilent);
    if (code < 0)
        return code;
    if (options.model_prefix)
        serialized = with_file_names(serialized, options);
    return buffer_append(model, serialized.data(), serialized.size());
}

status make_rules(const char *name, const char *tsv, buffer *model)
{
    const Arguments arguments = {{"model_type", "char"},
                                 {"vocab_size", "100"},
                                 {"hard_vocab_limit", "false"},
                                 {"normalization_rule_name", name},
                                 {"normalization_rule_tsv", tsv}};
    std::vector<std::string> text = {"a"};
    SampleIterator lines(text);
    std::string serialized;
    silence();
    const auto result = spm::SentencePieceTrainer::Train(arguments, &lines, &serialized);
    if (!result.ok())
        return status_set(STATUS_CONFIG, "normalisation rules %s: %s", *tsv ? tsv : name,
                          reason_of(result).c_str());
    return buffer_append(model, serialized.data(), serialized.size());
}

} // namespace

// The library's only public switch for its messages is an option of the trainer, which takes effect
// although this call, having no input, fails.
void set_message_level(const std::string &level)
{
    const Arguments only_level = {{"minloglevel", level}};
    std::string ignored;
    spm::SentencePieceTrainer::Train(only_level, nullptr, &ignored).IgnoreError();
}

void silence()
{
    static std::once_flag once;
    std::call_once(once, [] { set_message_level(kSilent); });
}

std::string reason_of(const spm::util::Status &result)
{
    std::string text = result.message();
    const size_t open = text.find(" [");
    const size_t close = text.rfind("] ");
    if (open == std::string::npos || close == std::string::npos || close < open)
        return text;
    const std::string reason = text.substr(close + 2);
    return reason.empty() ? text.substr(open + 2, close - open - 2) : reason;
}

extern "C" {

subword_train_options subword_train_defaults(void)
{
    subword_train_options options = {};
    options.type = "bpe";
    options.size = 8000;
    options.coverage = 0.9995;
    options.normalize = "nmt_nfkc";
    options.sample_lines = 2000000;
    options.max_line_bytes = 4096;
    return options;
}

status subword_train(const subword_train_options *options, buffer *model,
                     subword_train_report *report)
{
    subword_train_report unwanted = {};
    subword_train_report &wanted = report ? *report : unwanted;
    wanted = {};
    return guarded("subword training", [&] { return train(*options, model, wanted); });
}

status subword_train_spm(const subword_spm_options *options, buffer *model,
                         subword_train_report *report)
{
    subword_train_report unwanted = {};
    subword_train_report &wanted = report ? *report : unwanted;
    wanted = {};
    return guarded("subword training", [&] { return train_spm(*options, model, wanted); });
}

status subword_make_rules(const char *name, const char *tsv, buffer *model)
{
    return guarded("normalisation rules", [&] { return make_rules(name, tsv, model); });
}

} // extern "C"
