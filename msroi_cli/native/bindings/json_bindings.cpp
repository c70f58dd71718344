// JSON, for Python: texts in, columns out. The interpreter's lock is held: it reads the numbers of many digits.

#include <nanobind/nanobind.h>

#include "bindings/buffers.h"
#include "bindings/define.h"
#include "json/coco.h"

namespace nb = nanobind;

namespace msroi {

namespace {

class Text {
public:
    explicit Text(nb::handle bytes) : buffer_(bytes, "content", 1, false) {
        if (buffer_.itemsize() != 1 || (size() > 1 && buffer_.stride(0) != 1))
            throw nb::value_error("content: expected contiguous bytes");
    }
    int64_t size() const { return buffer_.shape(0); }
    Scanner from(int64_t start) const {
        if (start < 0 || start > size()) throw nb::value_error("start: expected a place in the content");
        return {buffer_.data() + start, buffer_.data() + size()};
    }
    int64_t place(const Scanner& scanner) const { return scanner.at() - buffer_.data(); }

private:
    Buffer buffer_;
};

double to_double(const char* text) {
    const double value = PyOS_string_to_double(text, nullptr, nullptr);
    if (value == -1.0 && PyErr_Occurred()) throw nb::python_error();
    return value;
}

// A column of the records, held: (K,) or (K, width).
template <class T>
class Column {
public:
    Column(nb::handle array, const char* name, char kind, int64_t rows, int width = 0)
        : buffer_(array, name, width ? 2 : 1, true) {
        buffer_.expect(kind, sizeof(T));
        buffer_.expect_length(rows);
        const int64_t row = int64_t(sizeof(T)) * (width ? width : 1);
        if ((rows > 1 && buffer_.stride(0) != row) ||
            (width && (buffer_.shape(1) != width || buffer_.stride(1) != sizeof(T))))
            throw nb::value_error("expected contiguous columns");
    }
    T* data() const { return reinterpret_cast<T*>(buffer_.data()); }

private:
    Buffer buffer_;
};

nb::object coco_records(nb::handle content, int64_t start, nb::handle boxes, nb::handle image, nb::handle score,
                        nb::handle category, nb::handle annotation) {
    const Text text(content);
    const int64_t rows = Buffer(image, "image", 1, true).shape(0);
    const Column<double> of_boxes(boxes, "boxes", 'f', rows, 4), scores(score, "score", 'f', rows);
    const Column<int64_t> images(image, "image", 'i', rows), categories(category, "category", 'i', rows);
    const Column<int64_t> annotations(annotation, "annotation", 'i', rows);
    CocoReader reader({rows, of_boxes.data(), images.data(), scores.data(), categories.data(), annotations.data()},
                      to_double);
    Scanner scanner = text.from(start);
    if (!reader.read(scanner)) return nb::none();
    nb::list ids;
    for (const std::string& id : reader.ids()) ids.append(nb::str(id.data(), id.size()));
    const int64_t* present = reader.present();
    return nb::make_tuple(text.place(scanner), reader.count(), ids, nb::make_tuple(present[0], present[1], present[2]));
}

int64_t json_value_end(nb::handle content, int64_t start) {
    const Text text(content);
    Scanner scanner = text.from(start);
    return scanner.value() ? text.place(scanner) : -1;
}

}  // namespace

void define_json(nb::module_& module) {
    module.def(
        "coco_records", coco_records, nb::arg("content"), nb::arg("start"), nb::arg("boxes"), nb::arg("image"),
        nb::arg("score"), nb::arg("category"), nb::arg("annotation"),
        "Reads a list of COCO records into columns (K, 4) and (K,): where it ends, how many there are, the ids of "
        "images, and how many have a score, a category and an id. None where it gives up.");
    module.def("json_value_end", json_value_end, nb::arg("content"), nb::arg("start"),
               "Where a JSON value ends; -1 where it is none, or not in ASCII.");
}

}  // namespace msroi
