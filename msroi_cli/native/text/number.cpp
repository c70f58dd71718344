#include "text/number.h"

#include <string.h>

namespace msroi {

namespace {

// Powers of ten that a double holds. A whole number below 2^53 times or over one of them is rounded once, so correctly
// (Clinger, "How to read floating point numbers accurately", 1990).
constexpr double kTens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                            1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
constexpr int kMostTens = 22;

}  // namespace

double double_of(const Number& number, ToDouble library) {
    const int64_t size = number.mantissa < 0 ? -number.mantissa : number.mantissa;
    const int tens = number.exponent < 0 ? -number.exponent : number.exponent;
    if (number.exact && !size) return number.text[0] == '-' ? -0.0 : 0.0;
    if (number.exact && size <= kExact && tens <= kMostTens)
        return number.exponent < 0 ? double(number.mantissa) / kTens[tens] : double(number.mantissa) * kTens[tens];
    char text[kLongestNumber + 1];
    memcpy(text, number.text.data(), number.text.size());
    text[number.text.size()] = 0;
    return library(text);
}

}  // namespace msroi
