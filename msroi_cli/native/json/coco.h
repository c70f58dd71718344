// Records of COCO boxes, {"image_id", "bbox", "score", "category_id", "id"}, read into columns without an object each.
// The twin of io/boxes/coco.py; it gives up where that one has something to say.
#pragma once

#include <stdint.h>

#include <string>
#include <unordered_map>
#include <vector>

#include "json/scanner.h"

namespace msroi {

// The correctly rounded number that a text stands for, which ends with a zero byte.
using ToDouble = double (*)(const char* text);

// Where K records go at most: boxes (K, 4), image (K,), an index into the ids in the order in which they come; score,
// category and annotation (K,).
struct CocoColumns {
    int64_t capacity;
    double* boxes;
    int64_t* image;
    double* score;
    int64_t* category;
    int64_t* annotation;
};

class CocoReader {
public:
    CocoReader(const CocoColumns& columns, ToDouble to_double) : columns_(columns), to_double_(to_double) {}

    // Reads a list of records; false where it gives up.
    bool read(Scanner& scanner);

    int64_t count() const { return count_; }
    const std::vector<std::string>& ids() const { return ids_; }

    // How many records have a score, a category and an id.
    const int64_t* present() const { return present_; }

private:
    bool record(Scanner& scanner);
    bool field(Scanner& scanner, std::string_view key);
    bool box(Scanner& scanner);
    bool image(Scanner& scanner);
    bool whole(Scanner& scanner, int64_t* column, int which);
    bool number(Scanner& scanner, double& value);
    int64_t code_of(std::string_view id);

    CocoColumns columns_;
    ToDouble to_double_;
    int64_t count_ = 0, last_ = -1;
    int64_t present_[3] = {0, 0, 0};
    bool has_box_ = false, has_image_ = false;
    Keys keys_;
    std::vector<std::string> ids_;
    std::unordered_map<std::string, int64_t> codes_;
};

}  // namespace msroi
