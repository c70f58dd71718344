#include "text/csv.h"

#include <cmath>
#include <limits>
#include <utility>

namespace msroi {

namespace {

constexpr int kFirstPrintable = 0x20;
constexpr int64_t kLongestCell = 100000;  // the csv module of Python takes 131,072 characters

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// A letter in lower case.
char lower(char c) { return char(c | 0x20); }

}  // namespace

CsvReader::CsvReader(char delimiter, std::string roles, ToDouble library)
    : delimiter_(delimiter), roles_(std::move(roles)), library_(library) {
    for (int c = 0; c < kFirstPrintable; ++c) ends_[c] = true;
    ends_[static_cast<unsigned char>('"')] = ends_[static_cast<unsigned char>(delimiter)] = true;
}

Reached CsvReader::read(const char*& at, const char* end, const BoxColumns& columns) {
    columns_ = columns;
    while (at < end) {
        if (*at == '\n' || (*at == '\r' && at[1] == '\n')) {
            at += *at == '\r' ? 2 : 1;
            continue;
        }
        if (count_ == columns.capacity) return Reached::end_of_room;
        const char* next = at;
        if (!line(next)) return Reached::nothing;
        at = next;
        ++count_;
    }
    return Reached::end_of_text;
}

// The text ends with the end of a line, which no cell goes beyond.
bool CsvReader::line(const char*& at) {
    for (size_t i = 0; i < roles_.size(); ++i)
        if ((i && *at++ != delimiter_) || !cell(at, roles_[i])) return false;
    if (*at == '\r') ++at;
    return *at++ == '\n';
}

bool CsvReader::cell(const char*& at, char role) {
    const bool quoted = *at == '"';
    at += quoted;
    std::string_view found;
    switch (role) {
        case 'i':
            if (!text(at, quoted, found) || found.empty()) return false;
            if ((columns_.image[count_] = ids_.number_of(found)) < 0) return false;
            break;
        case 'n':
            if (!text(at, quoted, found) || found.empty()) return false;
            if ((columns_.name[count_] = names_.number_of(found)) < 0) return false;
            break;
        case '0':
        case '1':
        case '2':
        case '3':
        case 'x':
        case 's':
        case 'c':
        case 'a':
            if (!number_cell(at, role)) return false;
            break;
        default:
            if (!text(at, quoted, found)) return false;
    }
    return !quoted || *at++ == '"';
}

bool CsvReader::number_cell(const char*& at, char role) {
    while (*at == ' ') ++at;
    const bool of_box = role >= '0' && role <= '3';
    Number number;
    double value = 0;
    int64_t index = 0;
    const bool numeric = decimal(at, number);
    if (of_box || role == 's') {
        if (numeric)
            value = double_of(number, library_);
        else if (of_box && ends_[static_cast<unsigned char>(*at)])
            value = std::numeric_limits<double>::quiet_NaN();  // nothing
        else if (!word(at, value))
            return false;
        if (of_box)
            columns_.boxes[4 * count_ + (role - '0')] = value;
        else
            columns_.score[count_] = numeric && number.whole && !value ? 0.0 : value;  // -0 is the whole number 0
    } else if (!numeric) {
        return false;
    } else if (role == 'c') {
        if (!whole(number, categories_, columns_.category[count_])) return false;
    } else if (role == 'a') {
        if (!whole(number, annotations_, columns_.annotation[count_])) return false;
    } else {
        if (!whole(number, indices_, index) || index != int32_t(index)) return false;
        columns_.image[count_] = int32_t(index);
    }
    while (*at == ' ') ++at;
    return true;
}

// Takes a number; leaves `at` where it is if there is none.
bool CsvReader::decimal(const char*& at, Number& number) const {
    const char* next = at;
    const bool negative = *next == '-';
    if (negative || *next == '+') ++next;
    uint64_t mantissa = 0;  // wraps where there are too many digits, and is not used
    const char* before = next;
    for (; is_digit(*next); ++next) mantissa = mantissa * 10 + uint64_t(*next - '0');
    int64_t digits = next - before, exponent = 0;
    number.whole = *next != '.';
    if (!number.whole) {
        before = ++next;
        for (; is_digit(*next); ++next) mantissa = mantissa * 10 + uint64_t(*next - '0');
        exponent = before - next;
        digits -= exponent;
    }
    if (!digits) return false;
    if (lower(*next) == 'e') {
        number.whole = false;
        ++next;
        const bool down = *next == '-';
        if (down || *next == '+') ++next;
        if (!is_digit(*next)) return false;
        int power = 0;
        for (; is_digit(*next); ++next) power = power < 10000 ? power * 10 + (*next - '0') : power;
        exponent += down ? -power : power;
    }
    number.text = std::string_view(at, size_t(next - at));
    number.exact = digits <= kDigits;
    number.mantissa = !number.exact ? 0 : negative ? -int64_t(mantissa) : int64_t(mantissa);
    number.exponent = int(exponent);
    if (number.text.size() > kLongestNumber) return false;
    at = next;
    return true;
}

// Takes nan, inf or -inf, in any case.
bool CsvReader::word(const char*& at, double& value) const {
    const char* next = at;
    const bool negative = *next == '-';
    next += negative;
    const auto is = [&](const char* wanted) {
        for (int i = 0; i < 3; ++i)
            if (lower(next[i]) != wanted[i]) return false;
        return true;
    };
    if (is("inf"))
        value = negative ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
    else if (!negative && is("nan"))
        value = std::numeric_limits<double>::quiet_NaN();
    else
        return false;
    at = next + 3;
    return true;
}

bool CsvReader::whole(const Number& number, Whole& known, int64_t& value) const {
    if (number.whole) {
        if (!number.exact) return false;
        value = number.mantissa;
    } else {
        const double found = double_of(number, library_);
        if (!(std::fabs(found) < double(kExact)) || found != std::floor(found)) return false;
        value = int64_t(found);
        known.fraction = true;
    }
    const int64_t size = value < 0 ? -value : value;
    if (size > known.largest) known.largest = size;
    return !known.fraction || known.largest < kExact;
}

bool CsvReader::text(const char*& at, bool quoted, std::string_view& found) const {
    const char* const start = at;
    if (quoted) {
        for (; *at != '"'; ++at)
            if (static_cast<unsigned char>(*at) < kFirstPrintable && *at != delimiter_) return false;
    } else {
        while (!ends_[static_cast<unsigned char>(*at)]) ++at;
    }
    found = std::string_view(start, size_t(at - start));
    return at - start <= kLongestCell;
}

}  // namespace msroi
