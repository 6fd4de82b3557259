// The fields of a model file that are runs of bytes: all at its top, and the names inside.
//
// Only for files that text/subword/subword_file.h has checked, or that the library has just made.
#ifndef MIXT_TEXT_SUBWORD_SENTENCEPIECE_FIELDS_HH
#define MIXT_TEXT_SUBWORD_SENTENCEPIECE_FIELDS_HH

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

inline uint64_t read_varint(std::string_view bytes, size_t *at)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint8_t byte = static_cast<uint8_t>(bytes.at((*at)++));
        value |= static_cast<uint64_t>(byte & 0x7F) << shift;
        if (byte < 0x80)
            break;
    }
    return value;
}

// Reads the field at bytes[*at] and moves *at behind it: its number and its bytes.
inline std::pair<unsigned, std::string_view> next_field(std::string_view bytes, size_t *at)
{
    const unsigned field = static_cast<unsigned>(read_varint(bytes, at) >> 3);
    const size_t size = read_varint(bytes, at);
    const std::string_view content = bytes.substr(*at, size);
    *at += size;
    return {field, content};
}

inline void append_field(std::string &message, unsigned field, std::string_view content)
{
    message.push_back(static_cast<char>(field << 3 | 2));
    uint64_t size = content.size();
    for (; size >= 0x80; size >>= 7)
        message.push_back(static_cast<char>(0x80 | (size & 0x7F)));
    message.push_back(static_cast<char>(size));
    message.append(content);
}

#endif
