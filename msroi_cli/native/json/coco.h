// Records of COCO boxes, {"image_id", "bbox", "score", "category_id", "id"}, read into columns without an object each.
// The twin of io/boxes/coco.py; it gives up where that one has something to say.
#pragma once

#include <stdint.h>

#include <string_view>

#include "json/scanner.h"
#include "text/rows.h"

namespace msroi {

class CocoReader {
public:
    explicit CocoReader(ToDouble library) : library_(library) {}

    // Reads a list of records, or goes on with it, as far as the text of the scanner and the columns go. At the end of the
    // text it leaves the scanner in front of what is not whole.
    Reached read(Scanner& scanner, const BoxColumns& columns);

    int64_t count() const { return count_; }
    const Ids& ids() const { return ids_; }

    // How many records have a score, a category and an id.
    const int64_t* present() const { return present_; }

private:
    // What comes next.
    enum class Next { list, record, separator, nothing };

    bool step(Scanner& scanner);
    bool record(Scanner& scanner);
    bool field(Scanner& scanner, std::string_view key);
    bool box(Scanner& scanner);
    bool image(Scanner& scanner);
    bool whole(Scanner& scanner, int64_t* column, int which);
    bool number(Scanner& scanner, double& value);

    const ToDouble library_;
    BoxColumns columns_ = {};
    Next next_ = Next::list;
    int64_t count_ = 0;
    int64_t present_[3] = {0, 0, 0};
    Ids ids_;

    // Of the record that is read.
    Keys keys_;
    std::string_view image_;
    bool has_box_ = false, has_image_ = false;
    bool has_[3] = {};
};

}  // namespace msroi
