#include "json/coco.h"

#include <string.h>

namespace msroi {

namespace {

enum { kScore, kCategory, kAnnotation };

// Powers of ten that a double holds. A whole number below 2^53 times or over one of them is rounded once, so correctly
// (Clinger, "How to read floating point numbers accurately", 1990).
constexpr double kTens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                            1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
constexpr int kMostTens = 22;
constexpr int64_t kExact = int64_t(1) << 53;

}  // namespace

bool CocoReader::read(Scanner& scanner) {
    if (!scanner.take('[')) return false;
    do {
        if (!record(scanner)) return false;
    } while (scanner.take(','));
    return scanner.take(']');
}

bool CocoReader::record(Scanner& scanner) {
    if (count_ >= columns_.capacity || !scanner.take('{')) return false;
    keys_.clear();
    has_box_ = has_image_ = false;
    do {
        std::string_view key;
        bool plain = false;
        if (!scanner.string(key, plain) || !plain || !keys_.add(key) || !scanner.take(':') || !field(scanner, key))
            return false;
    } while (scanner.take(','));
    ++count_;
    return has_box_ && has_image_ && scanner.take('}');
}

bool CocoReader::field(Scanner& scanner, std::string_view key) {
    if (key == "bbox") return box(scanner);
    if (key == "image_id") return image(scanner);
    if (key == "category_id") return whole(scanner, columns_.category, kCategory);
    if (key == "id") return whole(scanner, columns_.annotation, kAnnotation);
    if (key == "boxes") return false;  // another format
    if (key != "score") return scanner.value();
    if (scanner.peek() == 'n') return scanner.null();
    ++present_[kScore];
    return number(scanner, columns_.score[count_]);
}

bool CocoReader::box(Scanner& scanner) {
    has_box_ = true;
    double* const box = columns_.boxes + 4 * count_;
    if (!scanner.take('[')) return false;
    for (int i = 0; i < 4; ++i)
        if ((i && !scanner.take(',')) || !number(scanner, box[i])) return false;
    return scanner.take(']');
}

bool CocoReader::image(Scanner& scanner) {
    has_image_ = true;
    std::string_view id;
    if (scanner.peek() == '"') {
        bool plain = false;
        if (!scanner.string(id, plain) || !plain) return false;
    } else {
        Number number;
        if (!scanner.number(number) || !number.whole || number.text == "-0") return false;
        id = number.text;
    }
    columns_.image[count_] = code_of(id);
    return true;
}

// Boxes of one image often follow each other.
int64_t CocoReader::code_of(std::string_view id) {
    if (last_ >= 0 && ids_[size_t(last_)] == id) return last_;
    const auto found = codes_.emplace(std::string(id), int64_t(ids_.size()));
    if (found.second) ids_.emplace_back(id);
    return last_ = found.first->second;
}

bool CocoReader::whole(Scanner& scanner, int64_t* column, int which) {
    if (scanner.peek() == 'n') return scanner.null();
    Number number;
    if (!scanner.number(number) || !number.whole || !number.exact) return false;
    column[count_] = number.mantissa;
    ++present_[which];
    return true;
}

bool CocoReader::number(Scanner& scanner, double& value) {
    Number number;
    if (!scanner.number(number)) return false;
    const int64_t size = number.mantissa < 0 ? -number.mantissa : number.mantissa;
    const int tens = number.exponent < 0 ? -number.exponent : number.exponent;
    // -0 is not what its mantissa says.
    if (number.exact && size && size <= kExact && tens <= kMostTens) {
        value = number.exponent < 0 ? double(number.mantissa) / kTens[tens] : double(number.mantissa) * kTens[tens];
        return true;
    }
    char text[64];  // longer numbers are given up at
    memcpy(text, number.text.data(), number.text.size());
    text[number.text.size()] = 0;
    value = number.whole && number.text == "-0" ? 0.0 : to_double_(text);
    return true;
}

}  // namespace msroi
