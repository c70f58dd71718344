// A strict scanner of JSON in UTF-8. It gives up, and says no more, at anything that is not JSON, and at what is rare: keys
// with escapes, numbers of very many digits, deep nesting. Whoever reads the text then says what is wrong, or reads it.
#pragma once

#include <string_view>
#include <vector>

#include "text/number.h"

namespace msroi {

class Scanner {
public:
    Scanner(const char* at, const char* end) : at_(at), end_(end) {}

    const char* at() const { return at_; }

    // Whether all of the text is taken: whatever was not found may go on behind it.
    bool at_end() const { return at_ == end_; }

    // The next character that is no space, not taken; 0 at the end.
    char peek();

    // Takes a character, behind spaces, if it is the next one.
    bool take(char wanted);

    // Takes a string; `text` is what stands between the quotes, `plain` whether it has no escapes.
    bool string(std::string_view& text, bool& plain);

    bool number(Number& number);

    // Takes any value. An object must have each key once.
    bool value(int depth = 0);

    bool null() { return word("null"); }

private:
    bool object(int depth);
    bool array(int depth);
    bool word(std::string_view wanted);
    bool escape();
    bool beyond_ascii();

    const char* at_;
    const char* end_;
};

// The keys of an object, each of which may be there once.
class Keys {
public:
    // False for a key that is there already.
    bool add(std::string_view key);
    void clear() { keys_.clear(); }

private:
    std::vector<std::string_view> keys_;
};

}  // namespace msroi
