// The only C++ file of this folder: SentencePiece behind the C header.
//
// Every entry point runs inside guarded(), which turns exceptions into status codes.

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

extern "C" {
#include "base/file.h"
#include "text/lines.h"
#include "text/subword/sentencepiece.h"
#include "text/subword/subword_file.h"
#include "text/subword/subword_sample.h"
}

namespace spm = sentencepiece;

// What the opaque handle of the header holds.
struct subword {
    spm::SentencePieceProcessor processor;
    std::string serialized;
    subword_file file = {};
    sampler *segments = nullptr;

    subword() = default;
    subword(const subword &) = delete;
    subword &operator=(const subword &) = delete;
    ~subword()
    {
        sampler_close(segments);
    }
};

namespace
{

// The library splits its sums into one part per thread, so another number gives another model.
constexpr const char *kTrainingThreads = "16";
// The library indexes the training text with 32-bit numbers.
constexpr int64_t kMaxTrainingBytes = INT64_C(1) << 30;
constexpr int kMaxBest = 512;

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

// The library logs to stderr; its only public switch is an option of the trainer, which takes
// effect although this call, having no input, fails.
void silence()
{
    static std::once_flag once;
    std::call_once(once, [] {
        const std::unordered_map<std::string, std::string> only_fatal = {{"minloglevel", "3"}};
        std::string ignored;
        spm::SentencePieceTrainer::Train(only_fatal, nullptr, &ignored).IgnoreError();
    });
}

// "Internal: ./src/x.cc(1) [condition] reason" -> "reason", or "condition" where no reason follows.
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

bool is_one_of(const char *word, std::initializer_list<const char *> choices)
{
    return std::any_of(choices.begin(), choices.end(),
                       [word](const char *choice) { return std::strcmp(word, choice) == 0; });
}

// An even draw of at most `capacity` lines out of a stream of unknown length: line n takes a
// random place among n, and stays when that place is below capacity. The generator is
// SplitMix64 (Steele et al. 2014).
class Sample
{
  public:
    Sample(size_t capacity, uint64_t seed) : capacity_(capacity), state_(seed)
    {
    }

    void add(std::string_view line)
    {
        seen_++;
        if (lines_.size() < capacity_) {
            lines_.emplace_back(line);
            bytes_ += static_cast<int64_t>(line.size());
            return;
        }
        const uint64_t place = random() % seen_;
        if (place < capacity_) {
            bytes_ +=
                static_cast<int64_t>(line.size()) - static_cast<int64_t>(lines_[place].size());
            lines_[place].assign(line);
        }
    }

    int64_t bytes() const
    {
        return bytes_;
    }
    const std::vector<std::string> &lines() const
    {
        return lines_;
    }

  private:
    uint64_t random()
    {
        uint64_t mixed = state_ += UINT64_C(0x9E3779B97F4A7C15);
        mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
        mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94D049BB133111EB);
        return mixed ^ (mixed >> 31);
    }

    size_t capacity_;
    uint64_t state_;
    uint64_t seen_ = 0;
    int64_t bytes_ = 0;
    std::vector<std::string> lines_;
};

class SampleIterator : public spm::SentenceIterator
{
  public:
    explicit SampleIterator(const std::vector<std::string> &lines) : lines_(lines)
    {
    }
    bool done() const override
    {
        return next_ >= lines_.size();
    }
    void Next() override
    {
        next_++;
    }
    const std::string &value() const override
    {
        return lines_[next_];
    }
    spm::util::Status status() const override
    {
        return {};
    }

  private:
    const std::vector<std::string> &lines_;
    size_t next_ = 0;
};

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
    if (!(options.coverage >= 0.9 && options.coverage <= 1.0))
        return status_set(STATUS_CONFIG, "subword coverage %g is not in 0.9..1", options.coverage);
    if (options.sample_lines < 1)
        return status_set(STATUS_CONFIG, "a sample of %" PRId64 " lines is not at least 1",
                          options.sample_lines);
    if (options.max_line_bytes < 1 || options.max_line_bytes > (1u << 20))
        return status_set(STATUS_CONFIG, "a longest line of %zu bytes is not in 1..1048576",
                          options.max_line_bytes);
    return STATUS_OK;
}

status add_line(const subword_train_options &options, std::string_view line, Sample &sample,
                subword_train_report &report)
{
    report.lines++;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) {
        report.empty++;
    } else if (line.size() > options.max_line_bytes) {
        report.too_long++;
    } else {
        sample.add(line);
        if (sample.bytes() > kMaxTrainingBytes) {
            status_set(STATUS_CONFIG, "the subword training sample is larger than 1 GiB");
            status_hint("draw fewer than %" PRId64 " lines", options.sample_lines);
            return STATUS_CONFIG;
        }
    }
    return STATUS_OK;
}

status add_file(const subword_train_options &options, const char *path, Sample &sample,
                subword_train_report &report)
{
    struct lines *reader = nullptr;
    status code = lines_open(&reader, path);
    for (struct line line = {}; code == STATUS_OK;) {
        if ((code = lines_next(reader, &line)) < 0 || !line.bytes)
            break;
        code = guarded("subword training", [&] {
            return add_line(options, {line.bytes, line.size}, sample, report);
        });
    }
    lines_close(reader);
    return code;
}

status collect(const subword_train_options &options, Sample &sample, subword_train_report &report)
{
    for (size_t i = 0; i < options.n_paths; i++) {
        const status code = add_file(options, options.paths[i], sample, report);
        if (code < 0)
            return code;
    }
    for (size_t i = 0; i < options.n_texts; i++) {
        const subword_text &text = options.texts[i];
        const status code = add_line(options, {text.bytes, text.size}, sample, report);
        if (code < 0)
            return code;
    }
    report.sampled = static_cast<int64_t>(sample.lines().size());
    if (sample.lines().empty())
        return status_set(STATUS_DATA,
                          "no text to train a subword model on: %" PRId64 " lines, %" PRId64
                          " of them blank, %" PRId64 " longer than %zu bytes",
                          report.lines, report.empty, report.too_long, options.max_line_bytes);
    return STATUS_OK;
}

std::unordered_map<std::string, std::string> trainer_arguments(const subword_train_options &options)
{
    char coverage[32]; // by whole numbers: printing a fraction depends on the locale
    const int millionths = static_cast<int>(std::lround(options.coverage * 1e6));
    std::snprintf(coverage, sizeof coverage, "%d.%06d", millionths / 1000000, millionths % 1000000);
    return {
        {"minloglevel", "3"},
        {"model_type", options.type},
        {"vocab_size", std::to_string(options.size)},
        {"character_coverage", coverage},
        {"normalization_rule_name", options.normalize},
        {"byte_fallback", options.byte_fallback ? "true" : "false"},
        {"max_sentence_length", std::to_string(options.max_line_bytes)},
        {"num_threads", kTrainingThreads},
        {"pad_id", std::to_string(SUBWORD_PAD)},
        {"unk_id", std::to_string(SUBWORD_UNKNOWN)},
        {"bos_id", std::to_string(SUBWORD_BOS)},
        {"eos_id", std::to_string(SUBWORD_EOS)},
    };
}

// The two failures a user can cure are told by the numbers in the library's sentence.
status explain_failure(const subword_train_options &options, const std::string &reason)
{
    int given = 0, limit = 0;
    const char *sentence = std::strstr(reason.c_str(), "Vocabulary size too high");
    if (sentence &&
        std::sscanf(sentence, "Vocabulary size too high (%d). Please set it to a value <= %d",
                    &given, &limit) == 2) {
        status_set(STATUS_CONFIG,
                   "subword size %" PRId64 " is too large for this text; the largest allowed is %d",
                   options.size, limit);
        status_hint("set the size to %d or less, or train on more text", limit);
        return STATUS_CONFIG;
    }
    sentence = std::strstr(reason.c_str(), "Vocabulary size is smaller than required_chars");
    if (sentence &&
        std::sscanf(sentence, "Vocabulary size is smaller than required_chars. %d vs %d", &given,
                    &limit) == 2) {
        status_set(STATUS_CONFIG,
                   "subword size %" PRId64
                   " is too small for the characters of this text; the smallest allowed is %d",
                   options.size, limit);
        status_hint("set the size to %d or more, or lower the coverage", limit);
        return STATUS_CONFIG;
    }
    return status_set(STATUS_FAILED, "subword training failed: %s", reason.c_str());
}

status train(const subword_train_options &options, buffer *model, subword_train_report &report)
{
    status code = check_options(options);
    if (code < 0)
        return code;
    silence();
    Sample sample(static_cast<size_t>(options.sample_lines), options.seed);
    if ((code = collect(options, sample, report)) < 0)
        return code;
    SampleIterator iterator(sample.lines());
    std::string serialized;
    const auto result =
        spm::SentencePieceTrainer::Train(trainer_arguments(options), &iterator, &serialized);
    if (!result.ok())
        return explain_failure(options, reason_of(result));
    return buffer_append(model, serialized.data(), serialized.size());
}

status open_sampler(subword &model)
{
    const int n = model.processor.GetPieceSize();
    std::vector<sampler_piece> pieces(static_cast<size_t>(n));
    for (int id = 0; id < n; id++) {
        const std::string &piece = model.processor.IdToPiece(id);
        const bool is_other = model.processor.IsControl(id) || model.processor.IsUnknown(id) ||
                              model.processor.IsByte(id) || model.processor.IsUnused(id);
        const float score = model.processor.GetScore(id);
        pieces[static_cast<size_t>(id)] = {piece.data(), piece.size(), score, !is_other};
    }
    int32_t bytes[256];
    for (int byte = 0; byte < 256 && model.file.has_byte_fallback; byte++) {
        char name[8];
        std::snprintf(name, sizeof name, "<0x%02X>", static_cast<unsigned>(byte));
        bytes[byte] = model.processor.PieceToId(name);
    }
    return sampler_open(&model.segments, pieces.data(), pieces.size(), model.processor.unk_id(),
                        model.file.has_byte_fallback ? bytes : nullptr);
}

status open_bytes(subword **opened, const char *bytes, size_t size, const char *name)
{
    silence();
    auto model = std::make_unique<subword>();
    status code = subword_file_check(bytes, size, name, &model->file);
    if (code < 0)
        return code;
    model->serialized.assign(bytes, size);
    const auto result = model->processor.LoadFromSerializedProto(model->serialized);
    if (!result.ok())
        return status_set(STATUS_FORMAT, "%s: not a valid subword model: %s", name,
                          reason_of(result).c_str());
    if ((code = open_sampler(*model)) < 0)
        return code;
    *opened = model.release();
    return STATUS_OK;
}

status failed(const char *what, const spm::util::Status &result)
{
    return status_set(STATUS_FAILED, "%s failed: %s", what, reason_of(result).c_str());
}

status append_ids(ids *out, const std::vector<int> &found)
{
    static_assert(sizeof(int) == sizeof(int32_t), "the library's ids are int");
    return ids_append(out, found.data(), found.size());
}

// The text as the model's normaliser left it: that is what the pieces spell.
std::string normalized_text(const subword &model, std::string_view text)
{
    std::string normalized;
    const auto pieces = model.processor.EncodeAsImmutableProto(text);
    for (size_t i = 0; i < pieces.pieces_size(); i++) {
        const auto piece = pieces.pieces(static_cast<int>(i));
        unsigned byte = 0;
        if (model.processor.IsByte(static_cast<int>(piece.id())) &&
            std::sscanf(piece.piece().c_str(), "<0x%2X>", &byte) == 1)
            normalized.push_back(static_cast<char>(byte));
        else
            normalized += piece.piece();
    }
    return normalized;
}

double score_of(const subword &model, const std::vector<int> &found)
{
    const double unknown = sampler_unknown_score(model.segments);
    double sum = 0;
    for (const int id : found)
        sum += model.processor.IsUnknown(id) ? unknown : model.processor.GetScore(id);
    return sum;
}

status sample_best(const subword &model, std::string_view text, double alpha, int n_best,
                   uint64_t seed, ids *out)
{
    std::vector<std::vector<int>> best;
    const auto result = model.processor.NBestEncode(text, n_best, &best);
    if (!result.ok())
        return failed("subword sampling", result);
    if (best.empty())
        return STATUS_OK;
    std::vector<double> weights;
    for (const auto &found : best)
        weights.push_back(alpha * score_of(model, found));
    const double highest = *std::max_element(weights.begin(), weights.end());
    double sum = 0;
    for (double &weight : weights)
        sum += weight = std::exp(weight - highest);
    double left = sum * sampler_unit(text.data(), text.size(), seed);
    size_t drawn = 0;
    while (drawn + 1 < best.size() && (left -= weights[drawn]) > 0)
        drawn++;
    return append_ids(out, best[drawn]);
}

status sample(const subword &model, std::string_view text, double alpha, int n_best, uint64_t seed,
              ids *out)
{
    if (model.file.method == SUBWORD_METHOD_UNIGRAM && n_best > 1)
        return sample_best(model, text, alpha, std::min(n_best, kMaxBest), seed, out);
    const std::string normalized = normalized_text(model, text);
    if (model.file.method == SUBWORD_METHOD_BPE)
        return sampler_drop_merges(model.segments, normalized.data(), normalized.size(), alpha,
                                   seed, out);
    return sampler_draw_unigram(model.segments, normalized.data(), normalized.size(), alpha, seed,
                                out);
}

status append_one_line(buffer *text, std::string &line)
{
    for (char &byte : line) {
        if (byte == '\n' || byte == '\r' || byte == '\0')
            byte = ' ';
    }
    return buffer_append(text, line.data(), line.size());
}

} // namespace

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

status subword_open_bytes(subword **opened, const char *bytes, size_t size, const char *name)
{
    *opened = nullptr;
    return guarded(name, [&] { return open_bytes(opened, bytes, size, name); });
}

status subword_open_file(subword **opened, const char *path)
{
    *opened = nullptr;
    buffer bytes = {};
    status code = file_read(path, SUBWORD_MAX_FILE_BYTES, &bytes);
    if (code == STATUS_OK)
        code = subword_open_bytes(opened, bytes.data, bytes.size, path);
    buffer_free(&bytes);
    return code;
}

void subword_free(subword *model)
{
    delete model;
}

status subword_encode(const subword *model, const char *text, size_t size, ids *out)
{
    return guarded("subword encoding", [&] {
        std::vector<int> found;
        const auto result = model->processor.Encode({text, size}, &found);
        return result.ok() ? append_ids(out, found) : failed("subword encoding", result);
    });
}

status subword_encode_pieces(const subword *model, const char *text, size_t size, buffer *pieces)
{
    return guarded("subword encoding", [&] {
        std::vector<std::string> found;
        const auto result = model->processor.Encode({text, size}, &found);
        if (!result.ok())
            return failed("subword encoding", result);
        std::string joined;
        for (const std::string &piece : found)
            joined.append(joined.empty() ? "" : " ").append(piece);
        return buffer_append(pieces, joined.data(), joined.size());
    });
}

status subword_sample(const subword *model, const char *text, size_t size, double alpha, int n_best,
                      uint64_t seed, ids *out)
{
    const bool is_unigram = model->file.method == SUBWORD_METHOD_UNIGRAM;
    const bool is_bpe = subword_is_bpe(model);
    CHECK(alpha >= 0 && alpha <= (is_bpe ? 1 : 100), "alpha %g", alpha);
    if ((!is_unigram && !is_bpe) || (is_unigram && (n_best == 0 || n_best == 1)))
        return subword_encode(model, text, size, out);
    return guarded("subword sampling", [&] {
        return sample(*model, {text, size}, alpha, n_best, seed, out);
    });
}

status subword_decode(const subword *model, const int32_t *ids, size_t n, buffer *text)
{
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= subword_size(model))
            return status_set(STATUS_DATA, "piece id %" PRId32 " is not in 0..%" PRId32, ids[i],
                              subword_size(model) - 1);
    }
    return guarded("subword decoding", [&] {
        const std::vector<int> wanted(ids, ids + n);
        std::string found;
        const auto result = model->processor.Decode(wanted, &found);
        return result.ok() ? append_one_line(text, found) : failed("subword decoding", result);
    });
}

status subword_decode_pieces(const subword *model, const char *pieces, size_t size, buffer *text)
{
    return guarded("subword decoding", [&] {
        std::vector<std::string_view> wanted;
        const std::string_view all(pieces, size);
        for (size_t start = 0; (start = all.find_first_not_of(' ', start)) != all.npos;) {
            const size_t end = std::min(all.find(' ', start), all.size());
            wanted.push_back(all.substr(start, end - start));
            start = end;
        }
        std::string found;
        const auto result = model->processor.Decode(wanted, &found);
        return result.ok() ? append_one_line(text, found) : failed("subword decoding", result);
    });
}

int32_t subword_size(const subword *model)
{
    return model->processor.GetPieceSize();
}

bool subword_is_bpe(const subword *model)
{
    return model->file.method == SUBWORD_METHOD_BPE;
}

const char *subword_piece(const subword *model, int32_t id)
{
    CHECK(id >= 0 && id < subword_size(model), "id %" PRId32, id);
    return model->processor.IdToPiece(id).c_str();
}

float subword_score(const subword *model, int32_t id)
{
    CHECK(id >= 0 && id < subword_size(model), "id %" PRId32, id);
    return model->processor.GetScore(id);
}

int32_t subword_id(const subword *model, const char *piece)
{
    const int32_t id = model->processor.PieceToId(piece);
    const bool is_it = id >= 0 && std::strcmp(subword_piece(model, id), piece) == 0;
    return is_it ? id : -1;
}

int32_t subword_unknown_id(const subword *model)
{
    return model->processor.unk_id();
}

int32_t subword_bos_id(const subword *model)
{
    return model->processor.bos_id();
}

int32_t subword_eos_id(const subword *model)
{
    return model->processor.eos_id();
}

int32_t subword_pad_id(const subword *model)
{
    return model->processor.pad_id();
}

subword_text subword_serialized(const subword *model)
{
    return {model->serialized.data(), model->serialized.size()};
}

} // extern "C"
