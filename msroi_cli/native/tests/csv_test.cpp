// Rows of tables: whole texts, every text that one character makes of one, and texts in two pieces, each in memory that
// ends where the text ends, for sanitizers.

#include <stdio.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "text/csv.h"

using namespace msroi;

namespace {

int failures = 0;

void expect(bool good, const std::string& what) {
    if (good) return;
    printf("failed: %s\n", what.c_str());
    ++failures;
}

double by_library(const char* text) { return strtod(text, nullptr); }

constexpr const char* kRoles = "i0123scan";

struct Table {
    explicit Table(size_t rows)
        : boxes(4 * rows), score(rows), image(rows), name(rows), category(rows), annotation(rows) {}
    BoxColumns columns() {
        return {int64_t(image.size()), boxes.data(),    image.data(),     name.data(),
                score.data(),          category.data(), annotation.data()};
    }
    std::vector<double> boxes, score;
    std::vector<int32_t> image, name;
    std::vector<int64_t> category, annotation;
};

// What a reader comes to in a text.
Reached read(CsvReader& reader, const std::string& text, Table& table) {
    const std::vector<char> exact(text.begin(), text.end());
    const char* at = exact.data();
    return reader.read(at, exact.data() + exact.size(), table.columns());
}

bool reads(const std::string& text, Table& table) {
    CsvReader reader(',', kRoles, by_library);
    return read(reader, text, table) == Reached::end_of_text;
}

}  // namespace

int main() {
    const std::string first = "17,1,-2.5,3e1,258.15374755859375,0.1,3,-4,a.jpg\r\n";
    const std::string text = first + "\n\"x,y\", 1 ,\"2\",,nan,-inf,3.0,4e0,\"b\"\n";
    Table table(2);
    expect(reads(text, table), "a good text");
    expect(table.boxes[1] == -2.5 && table.boxes[2] == 30 && table.boxes[3] == 258.15374755859375, "a box");
    expect(table.boxes[6] != table.boxes[6] && table.score[0] == 0.1 && table.category[1] == 3, "columns");
    expect(table.image[1] == 1 && table.name[1] == 1 && table.annotation[0] == -4, "ids");
    Table one(1);
    CsvReader short_of_room(',', kRoles, by_library);
    expect(read(short_of_room, text, one) == Reached::end_of_room && short_of_room.count() == 1, "no room");
    Table in_two(2);
    CsvReader reader(',', kRoles, by_library);
    expect(read(reader, first, in_two) == Reached::end_of_text && read(reader, "", in_two) == Reached::end_of_text &&
               read(reader, text.substr(first.size()), in_two) == Reached::end_of_text && reader.count() == 2,
           "a text in two pieces");
    expect(in_two.image == table.image && in_two.category == table.category, "the same from two pieces");
    int read_texts = 0;
    for (size_t place = 0; place + 1 < text.size(); ++place)
        for (int put = 0; put < 256; ++put) {
            std::string changed = text;
            changed[place] = char(put);
            Table some(4);
            read_texts += reads(changed, some);
        }
    expect(read_texts > 1000 && read_texts < 10000,
           "changed texts, of which " + std::to_string(read_texts) + " were read");
    printf(failures ? "%d failures\n" : "all passed\n", failures);
    return failures != 0;
}
