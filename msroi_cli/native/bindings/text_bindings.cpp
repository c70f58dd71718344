// Boxes in texts, for Python: texts in, columns out. The interpreter's lock is held: it reads the numbers of many digits.

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "bindings/buffers.h"
#include "bindings/define.h"
#include "json/coco.h"
#include "text/csv.h"

namespace nb = nanobind;

namespace msroi {

namespace {

class Text {
public:
    explicit Text(nb::handle bytes) : buffer_(bytes, "content", 1, false) {
        if (buffer_.itemsize() != 1 || (buffer_.shape(0) > 1 && buffer_.stride(0) != 1))
            throw nb::value_error("content: expected contiguous bytes");
    }
    const char* begin() const { return buffer_.data(); }
    const char* end() const { return begin() + buffer_.shape(0); }
    const char* from(int64_t start) const {
        if (start < 0 || start > buffer_.shape(0)) throw nb::value_error("start: expected a place in the content");
        return begin() + start;
    }

private:
    Buffer buffer_;
};

double to_double(const char* text) {
    const double value = PyOS_string_to_double(text, nullptr, nullptr);
    if (value == -1.0 && PyErr_Occurred()) throw nb::python_error();
    return value;
}

// A column of the rows, held: (K,) or (K, width).
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

// All columns, in the order of BoxColumns.
class Columns {
public:
    explicit Columns(nb::handle arrays)
        : rows_(Buffer(arrays[0], "boxes", 2, true).shape(0)),
          boxes_(arrays[0], "boxes", 'f', rows_, 4),
          image_(arrays[1], "image", 'i', rows_),
          name_(arrays[2], "name", 'i', rows_),
          score_(arrays[3], "score", 'f', rows_),
          category_(arrays[4], "category", 'i', rows_),
          annotation_(arrays[5], "annotation", 'i', rows_) {}
    BoxColumns all() const {
        return {rows_, boxes_.data(), image_.data(), name_.data(), score_.data(), category_.data(), annotation_.data()};
    }

private:
    const int64_t rows_;
    const Column<double> boxes_;
    const Column<int32_t> image_, name_;
    const Column<double> score_;
    const Column<int64_t> category_, annotation_;
};

nb::list texts(const Ids& ids) {
    nb::list found;
    for (const std::string& id : ids.all()) found.append(nb::str(id.data(), id.size()));
    return found;
}

class CocoRecords {
public:
    nb::tuple read(nb::handle content, int64_t start, nb::handle arrays) {
        const Text text(content);
        const Columns columns(arrays);
        Scanner scanner(text.from(start), text.end());
        const Reached reached = reader_.read(scanner, columns.all());
        return nb::make_tuple(int(reached), scanner.at() - text.begin());
    }
    int64_t count() const { return reader_.count(); }
    nb::list ids() const { return texts(reader_.ids()); }
    nb::tuple present() const {
        const int64_t* some = reader_.present();
        return nb::make_tuple(some[0], some[1], some[2]);
    }

private:
    CocoReader reader_{to_double};
};

class CsvRows {
public:
    CsvRows(const std::string& delimiter, const std::string& roles)
        : reader_(delimiter.size() == 1 ? delimiter[0] : throw nb::value_error("delimiter: expected a character"),
                  roles, to_double) {}
    nb::tuple read(nb::handle content, int64_t start, nb::handle arrays) {
        const Text text(content);
        const Columns columns(arrays);
        const char* at = text.from(start);
        if (at < text.end() && text.end()[-1] != '\n') throw nb::value_error("content: expected whole lines");
        const Reached reached = reader_.read(at, text.end(), columns.all());
        return nb::make_tuple(int(reached), at - text.begin());
    }
    int64_t count() const { return reader_.count(); }
    nb::list ids() const { return texts(reader_.ids()); }
    nb::list names() const { return texts(reader_.names()); }

private:
    CsvReader reader_;
};

nb::object json_value_end(nb::handle content, int64_t start) {
    const Text text(content);
    Scanner scanner(text.from(start), text.end());
    const bool found = scanner.value();
    // A number goes on, perhaps.
    if (scanner.at_end()) return nb::none();
    return nb::int_(found ? scanner.at() - text.begin() : -1);
}

}  // namespace

void define_text(nb::module_& module) {
    const char* read =
        "Reads on from `start` into columns (K, 4) and (K,), behind the rows that are there. What it has come to, 0 "
        "the "
        "end, 1 the end of the content, 2 the end of the columns, 3 nothing: it gives up; and where in the content.";
    nb::class_<CocoRecords>(module, "CocoRecords", "A list of COCO records, read piece by piece.")
        .def(nb::init<>())
        .def("read", &CocoRecords::read, nb::arg("content"), nb::arg("start"), nb::arg("columns"), read)
        .def("count", &CocoRecords::count, "The rows so far.")
        .def("ids", &CocoRecords::ids, "The ids of images.")
        .def("present", &CocoRecords::present, "How many records have a score, a category and an id.");
    nb::class_<CsvRows>(module, "CsvRows", "The rows of a table, read piece by piece, each of whole lines.")
        .def(nb::init<const std::string&, const std::string&>(), nb::arg("delimiter"), nb::arg("roles"))
        .def("read", &CsvRows::read, nb::arg("content"), nb::arg("start"), nb::arg("columns"), read)
        .def("count", &CsvRows::count, "The rows so far.")
        .def("ids", &CsvRows::ids, "The ids of images.")
        .def("names", &CsvRows::names, "The file names of images.");
    module.def("json_value_end", json_value_end, nb::arg("content"), nb::arg("start"),
               "Where a JSON value ends; -1 where it is none; None where it may go on.");
}

}  // namespace msroi
