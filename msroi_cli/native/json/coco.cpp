#include "json/coco.h"

namespace msroi {

namespace {

enum { kScore, kCategory, kAnnotation };

}  // namespace

Reached CocoReader::read(Scanner& scanner, const BoxColumns& columns) {
    columns_ = columns;
    while (next_ != Next::nothing) {
        if (next_ == Next::record && count_ == columns.capacity) return Reached::end_of_room;
        const Scanner before = scanner;
        if (step(scanner)) continue;
        if (!scanner.at_end()) return Reached::nothing;
        scanner = before;
        return Reached::end_of_text;
    }
    return Reached::end;
}

bool CocoReader::step(Scanner& scanner) {
    if (next_ == Next::separator) {
        next_ = scanner.take(',') ? Next::record : Next::nothing;
        if (next_ == Next::record || scanner.take(']')) return true;
        next_ = Next::separator;
        return false;
    }
    if (!(next_ == Next::list ? scanner.take('[') : record(scanner))) return false;
    next_ = next_ == Next::list ? Next::record : Next::separator;
    return true;
}

bool CocoReader::record(Scanner& scanner) {
    keys_.clear();
    has_box_ = has_image_ = has_[kScore] = has_[kCategory] = has_[kAnnotation] = false;
    if (!scanner.take('{')) return false;
    do {
        std::string_view key;
        bool plain = false;
        if (!scanner.string(key, plain) || !plain || !keys_.add(key) || !scanner.take(':') || !field(scanner, key))
            return false;
    } while (scanner.take(','));
    if (!scanner.take('}') || !has_box_ || !has_image_) return false;
    // Not before: what the end of the text cuts off is no id.
    columns_.image[count_] = ids_.number_of(image_);
    if (columns_.image[count_] < 0) return false;
    for (int i = kScore; i <= kAnnotation; ++i) present_[i] += has_[i];
    ++count_;
    return true;
}

bool CocoReader::field(Scanner& scanner, std::string_view key) {
    if (key == "bbox") return box(scanner);
    if (key == "image_id") return image(scanner);
    if (key == "category_id") return whole(scanner, columns_.category, kCategory);
    if (key == "id") return whole(scanner, columns_.annotation, kAnnotation);
    if (key == "boxes") return false;  // another format
    if (key != "score") return scanner.value();
    if (scanner.peek() == 'n') return scanner.null();
    has_[kScore] = true;
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
    if (scanner.peek() == '"') {
        bool plain = false;
        return scanner.string(image_, plain) && plain;
    }
    Number number;
    if (!scanner.number(number) || !number.whole || number.text == "-0") return false;
    image_ = number.text;
    return true;
}

bool CocoReader::whole(Scanner& scanner, int64_t* column, int which) {
    if (scanner.peek() == 'n') return scanner.null();
    Number number;
    if (!scanner.number(number) || !number.whole || !number.exact) return false;
    column[count_] = number.mantissa;
    has_[which] = true;
    return true;
}

bool CocoReader::number(Scanner& scanner, double& value) {
    Number number;
    if (!scanner.number(number)) return false;
    value = double_of(number, library_);
    if (number.whole && !value) value = 0.0;  // -0 is the whole number 0
    return true;
}

}  // namespace msroi
