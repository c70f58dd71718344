#include "json/scanner.h"

#include <string.h>

#include <algorithm>

namespace msroi {

namespace {

constexpr int kDeepest = 64;
constexpr size_t kMostKeys = 64;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

bool Keys::add(std::string_view key) {
    for (const std::string_view& known : keys_)
        if (known == key) return false;
    keys_.push_back(key);
    return keys_.size() <= kMostKeys;
}

char Scanner::peek() {
    while (at_ < end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\t' || *at_ == '\r')) ++at_;
    return at_ < end_ ? *at_ : 0;
}

bool Scanner::take(char wanted) {
    if (peek() != wanted) return false;
    ++at_;
    return true;
}

bool Scanner::word(std::string_view wanted) {
    peek();
    const size_t size = std::min(size_t(end_ - at_), wanted.size());
    if (memcmp(at_, wanted.data(), size)) return false;
    at_ += size;
    return size == wanted.size();
}

bool Scanner::string(std::string_view& text, bool& plain) {
    if (!take('"')) return false;
    const char* const start = at_;
    plain = true;
    for (; at_ < end_; ++at_) {
        const unsigned char c = static_cast<unsigned char>(*at_);
        if (c == '"') {
            text = std::string_view(start, size_t(at_ - start));
            ++at_;
            return true;
        }
        if (c < 0x20 || (c >= 0x80 && !beyond_ascii())) return false;
        if (c == '\\') {
            plain = false;
            if (!escape()) return false;
        }
    }
    return false;
}

// A character of more than one byte, at the first of which `at_` stands; leaves it at the last.
// Source: the table of well-formed UTF-8 in the Unicode Standard (3-7).
bool Scanner::beyond_ascii() {
    const unsigned char first = static_cast<unsigned char>(*at_);
    if (first < 0xc2 || first > 0xf4) return false;
    const int more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    unsigned char least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    unsigned char most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    for (int i = 0; i < more; ++i) {
        if (++at_ >= end_) return false;
        const unsigned char c = static_cast<unsigned char>(*at_);
        if (c < least || c > most) return false;
        least = 0x80, most = 0xbf;
    }
    return true;
}

// What follows a backslash, at which `at_` stands; leaves it at the last character.
bool Scanner::escape() {
    if (++at_ >= end_) return false;
    if (*at_ != 'u') return strchr("\"\\/bfnrt", *at_) && *at_;
    for (int i = 0; i < 4; ++i) {
        if (++at_ >= end_) return false;
        const char c = *at_;
        if (!is_digit(c) && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F')) return false;
    }
    return true;
}

bool Scanner::number(Number& number) {
    peek();
    const char* const start = at_;
    const auto next = [&] { return at_ < end_ ? *at_ : '\0'; };
    const bool negative = next() == '-';
    if (negative) ++at_;
    int64_t mantissa = 0;
    int digits = 0, exponent = 0;
    const auto add = [&] {
        if (digits || *at_ != '0') ++digits;
        if (digits <= kDigits) mantissa = mantissa * 10 + (*at_ - '0');
        ++at_;
    };
    if (!is_digit(next())) return false;
    if (*at_ == '0')
        add();
    else
        while (is_digit(next())) add();
    number.whole = true;
    if (next() == '.') {
        number.whole = false;
        ++at_;
        if (!is_digit(next())) return false;
        for (; is_digit(next()); --exponent) add();
    }
    if (next() == 'e' || next() == 'E') {
        number.whole = false;
        ++at_;
        const bool down = next() == '-';
        if (down || next() == '+') ++at_;
        if (!is_digit(next())) return false;
        int power = 0;
        for (; is_digit(next()); ++at_) power = power < 10000 ? power * 10 + (*at_ - '0') : power;
        exponent += down ? -power : power;
    }
    number.text = std::string_view(start, size_t(at_ - start));
    number.mantissa = negative ? -mantissa : mantissa;
    number.exponent = exponent;
    number.exact = digits <= kDigits;
    return number.text.size() <= kLongestNumber;
}

bool Scanner::value(int depth) {
    std::string_view text;
    bool plain = false;
    Number unused;
    switch (peek()) {
        case '{':
            return object(depth);
        case '[':
            return array(depth);
        case '"':
            return string(text, plain);
        case 't':
            return word("true");
        case 'f':
            return word("false");
        case 'n':
            return null();
        default:
            return number(unused);
    }
}

bool Scanner::object(int depth) {
    if (depth > kDeepest || !take('{')) return false;
    if (take('}')) return true;
    Keys keys;
    do {
        std::string_view key;
        bool plain = false;
        if (!string(key, plain) || !plain || !keys.add(key) || !take(':') || !value(depth + 1)) return false;
    } while (take(','));
    return take('}');
}

bool Scanner::array(int depth) {
    if (depth > kDeepest || !take('[')) return false;
    if (take(']')) return true;
    do {
        if (!value(depth + 1)) return false;
    } while (take(','));
    return take(']');
}

}  // namespace msroi
