// Text to pieces: the best segmentation, the n best, and random ones.
//
// Every entry point runs inside guarded(), which turns exceptions into status codes.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "text/subword/sentencepiece_model.hh"

namespace spm = sentencepiece;

namespace
{

// A piece of a text: its id, and how it is printed.
struct Segment {
    int id;
    std::string_view piece;
};

using Segments = std::vector<Segment>;

void take_segments(const spm::ImmutableSentencePieceText &found, Segments &segments)
{
    const size_t n = found.pieces_size();
    segments.reserve(n + 2);
    for (size_t i = 0; i < n; i++) {
        const auto piece = found.pieces(static_cast<int>(i));
        segments.push_back({static_cast<int>(piece.id()), piece.piece()});
    }
}

Segment special(const subword &model, int id)
{
    return {id, model.processor.IdToPiece(id)};
}

// Does to a segmentation what subword_set_extra() asked for.
void apply_extra(const subword &model, Segments &segments)
{
    for (const Extra extra : model.extra) {
        switch (extra) {
        case Extra::kBos:
            segments.insert(segments.begin(), special(model, model.processor.bos_id()));
            break;
        case Extra::kEos:
            segments.push_back(special(model, model.processor.eos_id()));
            break;
        case Extra::kReverse:
            std::reverse(segments.begin(), segments.end());
            break;
        case Extra::kUnknown:
            for (Segment &segment : segments) {
                if (model.processor.IsUnknown(segment.id))
                    segment = special(model, segment.id);
            }
            break;
        }
    }
}

status append_ids(const Segments &segments, ids *out)
{
    status code = ids_reserve(out, segments.size());
    for (size_t i = 0; i < segments.size() && code == STATUS_OK; i++)
        code = ids_push(out, segments[i].id);
    return code;
}

status append_pieces(const Segments &segments, buffer *out)
{
    size_t size = 0;
    for (const Segment &segment : segments)
        size += segment.piece.size() + 1;
    status code = buffer_reserve(out, size);
    for (size_t i = 0; i < segments.size() && code == STATUS_OK; i++) {
        code = buffer_append(out, " ", i > 0);
        if (code == STATUS_OK)
            code = buffer_append(out, segments[i].piece.data(), segments[i].piece.size());
    }
    return code;
}

status append_numbers(const Segments &segments, buffer *out)
{
    status code = STATUS_OK;
    for (size_t i = 0; i < segments.size() && code == STATUS_OK; i++)
        code = buffer_printf(out, i ? " %d" : "%d", segments[i].id);
    return code;
}

// Segments a text and hands the result to append, which returns a status.
template <typename Append> status encode(const subword &model, std::string_view text, Append append)
{
    // Kept for the next text, unless this one was unusually long.
    constexpr size_t kMostKept = 1 << 14;
    thread_local spm::ImmutableSentencePieceText found;
    thread_local Segments segments;
    segments.clear();
    const auto result = model.processor.Encode(text, found.mutable_proto());
    if (!result.ok())
        return failed("subword encoding", result);
    take_segments(found, segments);
    apply_extra(model, segments);
    const status code = append(segments);
    if (segments.capacity() > kMostKept) {
        found = {};
        Segments().swap(segments);
    }
    return code;
}

// The text as the model's normaliser left it: that is what the pieces spell.
status normalized_text(const subword &model, std::string_view text, std::string &normalized)
{
    spm::ImmutableSentencePieceText found;
    const auto result = model.processor.Encode(text, found.mutable_proto());
    if (!result.ok())
        return failed("subword encoding", result);
    for (size_t i = 0; i < found.pieces_size(); i++) {
        const auto piece = found.pieces(static_cast<int>(i));
        unsigned byte = 0;
        if (model.processor.IsByte(static_cast<int>(piece.id())) &&
            std::sscanf(piece.piece().c_str(), "<0x%2X>", &byte) == 1)
            normalized.push_back(static_cast<char>(byte));
        else
            normalized += piece.piece();
    }
    return STATUS_OK;
}

double score_of(const subword &model, const Segments &segments)
{
    const double unknown = sampler_unknown_score(model.segments);
    double sum = 0;
    for (const Segment &segment : segments)
        sum +=
            model.processor.IsUnknown(segment.id) ? unknown : model.processor.GetScore(segment.id);
    return sum;
}

// The n best segmentations, borrowed from found.
status find_best(const subword &model, std::string_view text, int n,
                 spm::ImmutableNBestSentencePieceText &found, std::vector<Segments> &best)
{
    const auto result = model.processor.NBestEncode(text, n, found.mutable_proto());
    if (!result.ok())
        return failed("subword encoding", result);
    best.resize(found.nbests_size());
    for (size_t i = 0; i < best.size(); i++)
        take_segments(found.nbests(static_cast<int>(i)), best[i]);
    return STATUS_OK;
}

// Which of several segmentations is drawn.
size_t draw_one(const subword &model, const std::vector<Segments> &best, double alpha, double unit)
{
    std::vector<double> weights;
    for (const Segments &segments : best)
        weights.push_back(alpha * score_of(model, segments));
    const double highest = *std::max_element(weights.begin(), weights.end());
    double sum = 0;
    for (double &weight : weights)
        sum += weight = std::exp(weight - highest);
    double left = sum * unit;
    size_t drawn = 0;
    while (drawn + 1 < best.size() && (left -= weights[drawn]) > 0)
        drawn++;
    return drawn;
}

template <typename Append>
status sample_best(const subword &model, std::string_view text, double alpha, int n_best,
                   uint64_t seed, Append append)
{
    spm::ImmutableNBestSentencePieceText found;
    std::vector<Segments> best;
    const status code = find_best(model, text, n_best, found, best);
    if (code < 0 || best.empty())
        return code;
    const double unit = sampler_unit(text.data(), text.size(), seed);
    Segments &drawn = best[draw_one(model, best, alpha, unit)];
    apply_extra(model, drawn);
    return append(drawn);
}

// A draw of the sampler; frees itself.
struct Draw : sampler_draw {
    Draw() : sampler_draw{}
    {
    }
    Draw(const Draw &) = delete;
    Draw &operator=(const Draw &) = delete;
    ~Draw()
    {
        ids_free(&ids);
        ids_free(&ends);
    }
};

template <typename Append>
status sample_all(const subword &model, std::string_view text, double alpha, uint64_t seed,
                  Append append)
{
    std::string normalized;
    status code = normalized_text(model, text, normalized);
    if (code < 0)
        return code;
    if (normalized.size() > INT32_MAX)
        return status_set(STATUS_FAILED, "a line of more than 2 GiB");
    Draw draw;
    const auto sampler =
        model.file.method == SUBWORD_METHOD_BPE ? sampler_drop_merges : sampler_draw_unigram;
    code = sampler(model.segments, normalized.data(), normalized.size(), alpha, seed, &draw);
    if (code < 0)
        return code;
    Segments segments;
    for (size_t i = 0, start = 0; i < draw.ids.size; i++) {
        const size_t end = static_cast<size_t>(draw.ends.data[i]);
        const int id = draw.ids.data[i];
        segments.push_back(special(model, id));
        if (model.processor.IsUnknown(id))
            segments.back().piece = std::string_view(normalized).substr(start, end - start);
        start = end;
    }
    apply_extra(model, segments);
    return append(segments);
}

template <typename Append>
status sample(const subword &model, std::string_view text, double alpha, int n_best, uint64_t seed,
              Append append)
{
    const bool is_unigram = model.file.method == SUBWORD_METHOD_UNIGRAM;
    const bool is_bpe = model.file.method == SUBWORD_METHOD_BPE;
    CHECK(alpha >= 0 && alpha <= (is_bpe ? 1 : 100), "alpha %g", alpha);
    if ((!is_unigram && !is_bpe) || (is_unigram && (n_best == 0 || n_best == 1)))
        return encode(model, text, append);
    if (is_unigram && n_best > 1)
        return sample_best(model, text, alpha, std::min<int>(n_best, SUBWORD_MAX_BEST), seed,
                           append);
    return sample_all(model, text, alpha, seed, append);
}

} // namespace

extern "C" {

status subword_normalize(const subword *model, const char *text, size_t size, buffer *normalized)
{
    return guarded("normalisation", [&] {
        std::string spelled;
        const status code = normalized_text(*model, {text, size}, spelled);
        return code < 0 ? code : buffer_append(normalized, spelled.data(), spelled.size());
    });
}

status subword_encode(const subword *model, const char *text, size_t size, ids *out)
{
    return guarded("subword encoding", [&] {
        return encode(*model, {text, size},
                      [&](const Segments &segments) { return append_ids(segments, out); });
    });
}

status subword_encode_pieces(const subword *model, const char *text, size_t size, buffer *pieces)
{
    return guarded("subword encoding", [&] {
        return encode(*model, {text, size},
                      [&](const Segments &segments) { return append_pieces(segments, pieces); });
    });
}

status subword_sample(const subword *model, const char *text, size_t size, double alpha, int n_best,
                      uint64_t seed, ids *out)
{
    return guarded("subword sampling", [&] {
        return sample(*model, {text, size}, alpha, n_best, seed,
                      [&](const Segments &segments) { return append_ids(segments, out); });
    });
}

status subword_sample_pieces(const subword *model, const char *text, size_t size, double alpha,
                             int n_best, uint64_t seed, buffer *pieces)
{
    return guarded("subword sampling", [&] {
        return sample(*model, {text, size}, alpha, n_best, seed,
                      [&](const Segments &segments) { return append_pieces(segments, pieces); });
    });
}

status subword_n_best(const subword *model, const char *text, size_t size, int n, bool wants_ids,
                      buffer *lines)
{
    CHECK(n >= 1 && n <= SUBWORD_MAX_BEST, "%d segmentations", n);
    return guarded("subword encoding", [&] {
        spm::ImmutableNBestSentencePieceText found;
        std::vector<Segments> best;
        status code = find_best(*model, {text, size}, n, found, best);
        for (size_t i = 0; i < best.size() && code == STATUS_OK; i++) {
            apply_extra(*model, best[i]);
            if (i > 0)
                code = buffer_append(lines, "\n", 1);
            if (code == STATUS_OK)
                code = wants_ids ? append_numbers(best[i], lines) : append_pieces(best[i], lines);
        }
        return code;
    });
}

} // extern "C"
