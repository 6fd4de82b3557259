// SentencePiece behind the C header: models opened, decoding, vocabularies.
//
// Every entry point runs inside guarded(), which turns exceptions into status codes.

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

extern "C" {
#include "base/file.h"
#include "text/lines.h"
}
#include "text/subword/sentencepiece_fields.hh"
#include "text/subword/sentencepiece_model.hh"

namespace spm = sentencepiece;

namespace
{

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

status parse_extra(const subword &model, const char *list, std::vector<Extra> &extra)
{
    for (const char *word = list; *word;) {
        const std::string_view name(word, std::strcspn(word, ":"));
        if (name == "bos" && model.processor.bos_id() >= 0)
            extra.push_back(Extra::kBos);
        else if (name == "eos" && model.processor.eos_id() >= 0)
            extra.push_back(Extra::kEos);
        else if (name == "bos" || name == "eos")
            return status_set(STATUS_CONFIG, "the subword model has no %.3s piece", word);
        else if (name == "reverse")
            extra.push_back(Extra::kReverse);
        else if (name == "unk")
            extra.push_back(Extra::kUnknown);
        else
            return status_set(STATUS_CONFIG, "extra option '%.*s' is not bos, eos, reverse or unk",
                              static_cast<int>(name.size()), word);
        word += name.size() + (word[name.size()] == ':' ? 1 : 0);
    }
    return STATUS_OK;
}

// Reads a line "piece TAB count", or only "piece"; threshold is the least count that counts.
status read_entry(const struct line &line, int64_t threshold, std::vector<std::string> &kept)
{
    const std::string_view all(line.bytes, line.size);
    const std::string_view piece = all.substr(0, all.find('\t'));
    long long count = 1;
    if (piece.empty())
        return status_set(STATUS_DATA, "a vocabulary line without a piece");
    if (piece.size() < all.size()) {
        const char *number = line.bytes + piece.size() + 1;
        char *end = nullptr;
        count = std::strtoll(number, &end, 10);
        if (end == number || (*end != '\0' && *end != '\t'))
            return status_set(STATUS_DATA, "'%s' is not the count of a piece", number);
    }
    if (count >= threshold)
        kept.emplace_back(piece);
    return STATUS_OK;
}

status read_vocabulary(const char *path, int64_t threshold, std::vector<std::string> &kept)
{
    struct lines *reader = nullptr;
    status code = lines_open(&reader, path);
    while (code == STATUS_OK) {
        struct line line = {};
        if ((code = lines_next(reader, &line)) < 0 || !line.bytes)
            break;
        code = guarded(path, [&] { return read_entry(line, threshold, kept); });
        if (code < 0)
            status_set(code, "%s:%" PRId64 ": %s", path, line.number,
                       std::string(status_message()).c_str());
    }
    lines_close(reader);
    return code;
}

status restrict_to(subword &model, const char *path, int64_t threshold)
{
    if (model.file.method != SUBWORD_METHOD_UNIGRAM && model.file.method != SUBWORD_METHOD_BPE)
        return status_set(STATUS_CONFIG,
                          "only unigram and bpe models can be restricted to a vocabulary");
    std::vector<std::string> kept;
    const status code = read_vocabulary(path, threshold, kept);
    if (code < 0)
        return code;
    const std::vector<std::string_view> views(kept.begin(), kept.end());
    const auto result = model.processor.SetVocabulary(views);
    if (!result.ok())
        return failed("restricting the vocabulary", result);
    sampler_close(model.segments);
    model.segments = nullptr;
    return open_sampler(model);
}

// The settings of a normaliser that deal with spaces, as fields behind those that they replace.
std::string_view space_settings(subword_spaces spaces)
{
    using namespace std::string_view_literals;
    // add_dummy_prefix (3) false, remove_extra_whitespaces (4), escape_whitespaces (5) false
    switch (spaces) {
    case SUBWORD_SPACES_SINGLE:
        return "\x18\x00\x20\x01\x28\x00"sv;
    case SUBWORD_SPACES_KEPT:
        return "\x18\x00\x20\x00\x28\x00"sv;
    case SUBWORD_SPACES_AS_MODEL:
        break;
    }
    return {};
}

// A character model that knows no character: all text is unknown to it, so that its pieces spell
// the normalised text.
std::string normalizer_model(std::string_view model, subword_spaces spaces)
{
    using namespace std::string_view_literals;
    std::string rules;
    for (size_t at = 0; at < model.size();) {
        const auto [field, bytes] = next_field(model, &at);
        if (field == 3)
            rules.append(bytes);
    }
    rules.append(space_settings(spaces));
    std::string made;
    append_field(made, 1, "\x0A\x05<unk>\x18\x02"sv); // a piece: its text, its kind
    append_field(made, 2, "\x18\x04"sv);              // the trainer's model_type
    append_field(made, 3, rules);
    return made;
}

status open_normalizer(subword **opened, std::string_view bytes, const char *name,
                       subword_spaces spaces)
{
    subword_file file = {};
    const status code = subword_file_check(bytes.data(), bytes.size(), name, &file);
    if (code < 0)
        return code;
    const std::string made = normalizer_model(bytes, spaces);
    return open_bytes(opened, made.data(), made.size(), name);
}

status append_one_line(buffer *text, std::string &line)
{
    for (char &byte : line) {
        if (byte == '\n' || byte == '\0')
            byte = ' ';
    }
    return buffer_append(text, line.data(), line.size());
}

} // namespace

extern "C" {

status subword_open_bytes(subword **opened, const char *bytes, size_t size, const char *name)
{
    *opened = nullptr;
    return guarded(name, [&] { return open_bytes(opened, bytes, size, name); });
}

status subword_open_normalizer(subword **opened, const char *bytes, size_t size, const char *name,
                               subword_spaces spaces)
{
    *opened = nullptr;
    return guarded(name, [&] { return open_normalizer(opened, {bytes, size}, name, spaces); });
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

status subword_set_extra(subword *model, const char *list)
{
    model->extra.clear();
    return guarded("subword model", [&] { return parse_extra(*model, list, model->extra); });
}

status subword_set_decode_extra(subword *model, const char *list)
{
    return guarded("subword model", [&] {
        std::vector<Extra> ignored;
        const status code = parse_extra(*model, list, ignored);
        if (code < 0)
            return code;
        const auto result = model->processor.SetDecodeExtraOptions(list);
        return result.ok() ? STATUS_OK : failed("subword model", result);
    });
}

status subword_restrict(subword *model, const char *path, int64_t threshold)
{
    return guarded(path, [&] { return restrict_to(*model, path, threshold); });
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

bool subword_is_unigram(const subword *model)
{
    return model->file.method == SUBWORD_METHOD_UNIGRAM;
}

bool subword_is_text(const subword *model, int32_t id)
{
    return !model->processor.IsUnknown(id) && !model->processor.IsControl(id);
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
