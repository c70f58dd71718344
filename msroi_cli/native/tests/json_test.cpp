// COCO records: whole texts, every beginning of one, and every text that one character makes of it, each in memory that
// ends where the text ends, for sanitizers.

#include <stdio.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "json/coco.h"

using namespace msroi;

namespace {

int failures = 0;

void expect(bool good, const std::string& what) {
    if (good) return;
    printf("failed: %s\n", what.c_str());
    ++failures;
}

double by_library(const char* text) { return strtod(text, nullptr); }

struct Table {
    explicit Table(size_t rows) : boxes(4 * rows), score(rows), image(rows), category(rows), annotation(rows) {}
    BoxColumns columns() {
        return {int64_t(image.size()), boxes.data(),    image.data(),     nullptr,
                score.data(),          category.data(), annotation.data()};
    }
    std::vector<double> boxes, score;
    std::vector<int32_t> image;
    std::vector<int64_t> category, annotation;
};

// Whether a text is read as records to its end.
bool reads(const std::string& text, Table& table) {
    const std::vector<char> exact(text.begin(), text.end());
    Scanner scanner(exact.data(), exact.data() + exact.size());
    CocoReader reader(by_library);
    return reader.read(scanner, table.columns()) == Reached::end && !scanner.peek() && scanner.at_end();
}

// Whether a text is read that is cut in two, from where the first piece is done.
bool reads_in_two(const std::string& text, size_t cut, Table& table) {
    const std::vector<char> first(text.begin(), text.begin() + long(cut));
    Scanner scanner(first.data(), first.data() + first.size());
    CocoReader reader(by_library);
    if (reader.read(scanner, table.columns()) != Reached::end_of_text) return false;
    const std::vector<char> rest(text.begin() + (scanner.at() - first.data()), text.end());
    Scanner second(rest.data(), rest.data() + rest.size());
    return reader.read(second, table.columns()) == Reached::end && reader.ids().all().size() == 2;
}

}  // namespace

int main() {
    const std::string text =
        "[{\"image_id\": 17, \"bbox\": [1, -2.5, 3e1, 258.15374755859375], \"score\": 0.1, \"id\": 3, "
        "\"a\": [{\"b\\u00e9\\n\": null}, \"\", true, {}, []]}, {\"bbox\":[0,0,-0.0,1e-30],\"image_id\":\"x\"}]\n";
    Table table(2);
    expect(!reads(text, table), "a key with escapes is given up at");
    std::string good = text;
    good.replace(good.find("b\\u00e9\\n"), 8, "b");
    expect(reads(good, table), "a good text");
    good.replace(good.find("true"), 4, "\"\xc3\xa9\xe6\x9d\xb1\xf0\x9f\x98\x80\"");
    expect(reads(good, table), "characters of two, three and four bytes");
    expect(table.boxes[1] == -2.5 && table.boxes[2] == 30 && table.boxes[3] == 258.15374755859375, "a box");
    expect(table.image[0] == 0 && table.image[1] == 1 && table.annotation[0] == 3 && table.score[0] == 0.1, "columns");
    Table one(1);
    expect(!reads(good, one), "more records than there is room for");
    const size_t last = good.find_last_of(']');
    for (size_t length = 0; length <= last; ++length) expect(!reads(good.substr(0, length), table), "a beginning");
    for (size_t cut = 0; cut < last; ++cut) {
        Table cut_table(2);
        expect(reads_in_two(good, cut, cut_table), "a text in two pieces");
        expect(cut_table.boxes == table.boxes && cut_table.image == table.image, "the same from two pieces");
    }
    int read = 0;
    for (size_t place = 0; place < good.size(); ++place)
        for (int put = 0; put < 256; ++put) {
            std::string changed = good;
            changed[place] = char(put);
            read += reads(changed, table);
        }
    expect(read > 1000 && read < 10000, "changed texts, of which " + std::to_string(read) + " were read");
    for (const char* deep : {"[", "{\"a\":", "[{\"a\":"}) {
        std::string nested;
        for (int i = 0; i < 100000; ++i) nested += deep;
        expect(!reads("[{\"a\":" + nested, table), "deep nesting");
    }
    printf(failures ? "%d failures\n" : "all passed\n", failures);
    return failures != 0;
}
