#include "text/rows.h"

#include <limits>

namespace msroi {

int32_t Ids::found(std::string_view id) {
    auto place = numbers_.find(id);
    if (place == numbers_.end()) {
        if (all_.size() >= size_t(std::numeric_limits<int32_t>::max())) return -1;
        all_.emplace_back(id);
        place = numbers_.emplace(all_.back(), int32_t(all_.size() - 1)).first;
    }
    last_id_ = place->first;
    return last_ = place->second;
}

}  // namespace msroi
