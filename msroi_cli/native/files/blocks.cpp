#include "files/blocks.h"

#include <errno.h>
#include <unistd.h>

namespace msroi {

bool read_block(int descriptor, int64_t place, char* to, int64_t width) {
    if (place < 0 || place > INT64_MAX - width) return false;
    for (int64_t done = 0; done < width;) {
        const ssize_t count = pread(descriptor, to + done, size_t(width - done), off_t(place + done));
        if (count == 0 || (count < 0 && errno != EINTR)) return false;
        if (count > 0) done += count;
    }
    return true;
}

}  // namespace msroi
