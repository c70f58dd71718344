// Decimal numbers as a text has them, and the doubles that they stand for.
#pragma once

#include <stdint.h>

#include <string_view>

namespace msroi {

constexpr int kDigits = 18;  // of a mantissa that 64 bits hold
constexpr size_t kLongestNumber = 60;

// Whole numbers up to here are doubles.
constexpr int64_t kExact = int64_t(1) << 53;

struct Number {
    std::string_view text;
    bool whole;        // without a fraction and an exponent
    int64_t mantissa;  // of at most kDigits digits, with the sign; beyond that `exact` is false
    int exponent;      // of ten
    bool exact;
};

// The correctly rounded number that a text stands for, which ends with a zero byte.
using ToDouble = double (*)(const char* text);

// The correctly rounded double of a number of at most kLongestNumber characters; by `library` where it takes more than
// one rounding.
double double_of(const Number& number, ToDouble library);

}  // namespace msroi
