// The lines that a model is trained on: read, chosen, drawn, handed to the library.
#ifndef MIXT_TEXT_SUBWORD_SENTENCEPIECE_INPUT_HH
#define MIXT_TEXT_SUBWORD_SENTENCEPIECE_INPUT_HH

#include <algorithm>
#include <cinttypes>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <sentencepiece_trainer.h>

extern "C" {
#include "text/lines.h"
#include "text/subword/sentencepiece_train.h"
}

// Which lines are trained on.
struct Rules {
    size_t max_line_bytes;
    bool is_verbatim;       // lines as they are, those of blanks too
    bool is_counted;        // lines of "sentence TAB count"
    int64_t max_text_bytes; // of all lines together
};

inline status too_much_text(const Rules &rules)
{
    status_set(STATUS_CONFIG, "the subword training text is larger than %" PRId64 " MiB",
               rules.max_text_bytes >> 20);
    status_hint("draw fewer lines, or train on an extremely large corpus if memory allows");
    return STATUS_CONFIG;
}

// Looks at the lines for what would make the library end the process: a text without a letter, and
// counts that overflow.
class Inspection
{
  public:
    // The normalisation rules, and whether lines are "sentence TAB count".
    Inspection(const char *rules, const char *tsv, bool is_counted)
        : rules_(rules), tsv_(tsv), is_counted_(is_counted)
    {
    }
    Inspection(const Inspection &) = delete;
    Inspection &operator=(const Inspection &) = delete;
    ~Inspection()
    {
        subword_free(normalizer_);
    }

    // STATUS_DATA for counts that are too large together.
    status look(std::string_view line)
    {
        const size_t tab = is_counted_ ? line.find('\t') : line.npos;
        if (tab != line.npos)
            sum_ += std::max(0.0, std::strtod(std::string(line.substr(tab + 1)).c_str(), nullptr));
        if (sum_ > kMostCounts)
            return status_set(STATUS_DATA, "the counts of the training text add up to more than %g",
                              kMostCounts);
        has_text_ = has_text_ || is_text(line.substr(0, tab));
        return STATUS_OK;
    }

    bool has_text() const
    {
        return has_text_;
    }

  private:
    static constexpr double kMostCounts = 1e15;

    // Whether something is left of the line that a piece can be made of. The library leaves out
    // lines with U+2585, which it needs itself.
    bool is_text(std::string_view line)
    {
        if (line.find("\xE2\x96\x85") != line.npos)
            return false;
        const bool has_ascii = std::any_of(line.begin(), line.end(),
                                           [](char byte) { return byte > ' ' && byte < 0x7F; });
        if (has_ascii && tsv_.empty())
            return true;
        if (!normalizer_ && !open())
            return true; // the training will tell what is wrong with the rules
        buffer left = {};
        const bool is_done =
            subword_normalize(normalizer_, line.data(), line.size(), &left) == STATUS_OK;
        const bool is_blank =
            is_done &&
            std::string_view(left.data ? left.data : "", left.size).find_first_not_of(" \t") ==
                std::string_view::npos;
        buffer_free(&left);
        return !is_blank;
    }

    bool open()
    {
        buffer model = {};
        const bool is_open =
            subword_make_rules(rules_.c_str(), tsv_.c_str(), &model) == STATUS_OK &&
            subword_open_normalizer(&normalizer_, model.data, model.size, "rules",
                                    SUBWORD_SPACES_SINGLE) == STATUS_OK;
        buffer_free(&model);
        return is_open;
    }

    std::string rules_, tsv_;
    bool is_counted_;
    bool has_text_ = false;
    double sum_ = 0;
    subword *normalizer_ = nullptr;
};

// What all lines pass, whoever draws from them.
class Intake
{
  public:
    Intake(const Rules &rules, const char *names, const char *tsv, subword_train_report &report)
        : rules_(rules), inspection_(names, tsv, rules.is_counted), report_(report)
    {
    }

    // Whom to tell, when all is read, what it was.
    void set_notice(void (*notice)(void *, const subword_train_report *), void *context)
    {
        notice_ = notice;
        context_ = context;
    }

    bool admits(std::string_view line)
    {
        report_.lines++;
        const bool is_empty = rules_.is_verbatim
                                  ? line.empty()
                                  : line.find_first_not_of(" \t\r") == std::string_view::npos;
        if (is_empty)
            report_.empty++;
        else if (line.size() > rules_.max_line_bytes)
            report_.too_long++;
        else
            return true;
        return false;
    }

    // For the lines that are admitted.
    status look(std::string_view line)
    {
        return inspection_.look(line);
    }

    // When all is read: STATUS_DATA where there is nothing to train on.
    status finish()
    {
        if (!inspection_.has_text())
            return status_set(STATUS_DATA,
                              "no text to train a subword model on: %" PRId64 " lines, %" PRId64
                              " of them blank, %" PRId64 " longer than %zu bytes",
                              report_.lines, report_.empty, report_.too_long,
                              rules_.max_line_bytes);
        if (notice_)
            notice_(context_, &report_);
        return STATUS_OK;
    }

    const Rules &rules() const
    {
        return rules_;
    }

  private:
    Rules rules_;
    Inspection inspection_;
    subword_train_report &report_;
    void (*notice_)(void *, const subword_train_report *) = nullptr;
    void *context_ = nullptr;
};

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
    std::vector<std::string> &lines()
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

// Lines for the library, and what reading them came to; below 0 with its message.
class LineIterator : public sentencepiece::SentenceIterator
{
  public:
    virtual ::status code() const = 0;
};

// Hands the drawn lines over; each is given up as the next is asked for, because the library keeps
// its own copy.
class SampleIterator : public LineIterator
{
  public:
    explicit SampleIterator(std::vector<std::string> &lines) : lines_(lines)
    {
    }
    bool done() const override
    {
        return next_ >= lines_.size();
    }
    void Next() override
    {
        std::string().swap(lines_[next_++]);
    }
    const std::string &value() const override
    {
        return lines_[next_];
    }
    sentencepiece::util::Status status() const override
    {
        return {};
    }

    ::status code() const override
    {
        return STATUS_OK;
    }

  private:
    std::vector<std::string> &lines_;
    size_t next_ = 0;
};

// The lines of several files, one after another.
class Reader
{
  public:
    Reader(const char *const *paths, size_t n_paths, bool is_verbatim)
        : paths_(paths), n_paths_(n_paths), is_verbatim_(is_verbatim)
    {
    }
    Reader(const Reader &) = delete;
    Reader &operator=(const Reader &) = delete;
    ~Reader()
    {
        lines_close(reader_);
    }

    // The next line, borrowed until the next call; one without bytes at the end of the last file.
    status next(struct line *line)
    {
        *line = {};
        while (reader_ || next_path_ < n_paths_) {
            status code = reader_ ? STATUS_OK : open();
            if (code == STATUS_OK)
                code = lines_next(reader_, line);
            if (code < 0 || line->bytes)
                return code;
            lines_close(reader_);
            reader_ = nullptr;
        }
        return STATUS_OK;
    }

  private:
    status open()
    {
        const status code = lines_open(&reader_, paths_[next_path_++]);
        if (code == STATUS_OK && is_verbatim_)
            lines_set_verbatim(reader_);
        return code;
    }

    const char *const *paths_;
    size_t n_paths_;
    bool is_verbatim_;
    size_t next_path_ = 0;
    struct lines *reader_ = nullptr;
};

// Hands the lines over as they are read: the library draws its sample itself.
class FileIterator : public LineIterator
{
  public:
    FileIterator(Reader &reader, int64_t drawn, Intake &intake)
        : reader_(reader), drawn_(drawn), intake_(intake)
    {
        Next();
    }
    bool done() const override
    {
        return is_done_;
    }
    void Next() override
    {
        struct line line = {};
        do {
            code_ = reader_.next(&line);
        } while (code_ == STATUS_OK && line.bytes && !intake_.admits({line.bytes, line.size}));
        if (code_ == STATUS_OK)
            code_ = line.bytes ? take(line) : intake_.finish();
        is_done_ = code_ < 0 || !line.bytes;
    }
    const std::string &value() const override
    {
        return line_;
    }
    sentencepiece::util::Status status() const override
    {
        return code_ < 0 ? sentencepiece::util::Status(sentencepiece::util::StatusCode::kInternal,
                                                       "not read")
                         : sentencepiece::util::Status();
    }

    ::status code() const override
    {
        return code_;
    }

  private:
    // What the library keeps is not known, but that it is an even draw.
    ::status take(const struct line &line)
    {
        line_.assign(line.bytes, line.size);
        n_lines_++;
        n_bytes_ += static_cast<int64_t>(line.size);
        const double kept =
            std::min(1.0, static_cast<double>(drawn_) / static_cast<double>(n_lines_));
        const Rules &rules = intake_.rules();
        const bool is_too_much =
            static_cast<double>(n_bytes_) * kept > static_cast<double>(rules.max_text_bytes);
        return is_too_much ? too_much_text(rules) : intake_.look(line_);
    }

    Reader &reader_;
    int64_t drawn_;
    Intake &intake_;
    int64_t n_lines_ = 0;
    int64_t n_bytes_ = 0;
    std::string line_;
    bool is_done_ = false;
    ::status code_ = STATUS_OK;
};

#endif
