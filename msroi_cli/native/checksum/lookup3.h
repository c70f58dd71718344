// The checksum of HDF5's metadata: Bob Jenkins' "lookup3" (2006), `hashlittle` with the start value 0.
// The twin of io/hdf5/structure/lookup3.py.
#pragma once

#include <stdint.h>

namespace msroi {

uint32_t lookup3(const uint8_t* bytes, int64_t length);

}  // namespace msroi
