// What readers of boxes in texts have in common: where rows go, the numbers of ids, and what a call has come to.
#pragma once

#include <stdint.h>

#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>

namespace msroi {

// Where K rows go at most: boxes (K, 4); image (K,), an index into the ids in the order in which they come; name (K,),
// the same of file names; score, category and annotation (K,).
struct BoxColumns {
    int64_t capacity;
    double* boxes;
    int32_t* image;
    int32_t* name;
    double* score;
    int64_t* category;
    int64_t* annotation;
};

// What a reader has come to: the end of what it reads, the end of the text, which goes on, or that of the columns; or it
// gives up, at what is wrong or rare.
enum class Reached { end, end_of_text, end_of_room, nothing };

// Different ids, numbered from 0 in the order in which they come.
class Ids {
public:
    // The number of an id; -1 if there are too many.
    int32_t number_of(std::string_view id) {
        // Boxes of one image often follow each other.
        return last_ >= 0 && id == last_id_ ? last_ : found(id);
    }
    const std::deque<std::string>& all() const { return all_; }

private:
    int32_t found(std::string_view id);

    std::deque<std::string> all_;
    std::unordered_map<std::string_view, int32_t> numbers_;
    std::string_view last_id_;
    int32_t last_ = -1;
};

}  // namespace msroi
