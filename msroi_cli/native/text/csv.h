// Rows of a table, cells between delimiters and one line a row, read into columns. The twin of
// io/boxes/tabular/csv_file.py; it gives up where that one has something to say, and at what is rare: quotes within
// texts, lines within quotes, control characters.
#pragma once

#include <stdint.h>

#include <string>
#include <string_view>

#include "text/number.h"
#include "text/rows.h"

namespace msroi {

class CsvReader {
public:
    // roles: what each column of the table is, a character each: 0 to 3 the numbers of a box, i an image id, n a file
    // name, x the number of an image, s score, c category, a annotation; anything else is not read.
    CsvReader(char delimiter, std::string roles, ToDouble library);

    // Reads lines from `at` on, the last of which ends at `end`; leaves `at` where it has come to.
    Reached read(const char*& at, const char* end, const BoxColumns& columns);

    int64_t count() const { return count_; }
    const Ids& ids() const { return ids_; }
    const Ids& names() const { return names_; }

private:
    // Whole numbers of a column. Where one is written with a fraction, as 3.0, all have to be exact as doubles.
    struct Whole {
        bool fraction = false;
        int64_t largest = 0;
    };

    bool line(const char*& at);
    bool cell(const char*& at, char role);
    bool number_cell(const char*& at, char role);
    bool decimal(const char*& at, Number& number) const;
    bool word(const char*& at, double& value) const;
    bool whole(const Number& number, Whole& known, int64_t& value) const;
    bool text(const char*& at, bool quoted, std::string_view& found) const;

    const char delimiter_;
    const std::string roles_;
    const ToDouble library_;
    bool ends_[256] = {};  // the characters that no cell has which is not in quotes
    BoxColumns columns_ = {};
    int64_t count_ = 0;
    Whole indices_, categories_, annotations_;
    Ids ids_, names_;
};

}  // namespace msroi
