// float16 to float32 and back, four at a time or one, rounded to nearest, ties to even.
// Included by sweep.cpp alone, as lanes.h is.
#pragma once

#include "lanes.h"

namespace msroi {
namespace MSROI_ISA_NAMESPACE {

MSROI_INLINE float float_of(uint32_t bits) {
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

MSROI_INLINE uint32_t bits_of(float value) {
    uint32_t bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    return bits;
}

// A half's exponent and fraction, moved to a float's place, are too small by 2^112; multiplying is exact, also for
// halves below the normal range. Infinity and NaN need the largest exponent instead.
MSROI_INLINE float widen(uint16_t half) {
    const uint32_t magnitude = (half & 0x7fffu) << 13, sign = (half & 0x8000u) << 16;
    uint32_t bits = bits_of(float_of(magnitude) * 0x1p112f);
    if (magnitude >= 0x0f800000u) bits |= 0x7f800000u;
    return float_of(bits | sign);
}

MSROI_INLINE uint16_t narrow(float value) {
    const uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000u;
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return uint16_t(sign | 0x7e00u);   // NaN
    if (magnitude >= 0x47800000u) return uint16_t(sign | 0x7c00u);  // 65536 and above
    if (magnitude < 0x38800000u) {
        // Below 2^-14 the last bit is worth 2^-24, as it is in a float of 0.5 to 1: the sum rounds there.
        return uint16_t(sign | (bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u));
    }
    magnitude += 0xfffu + (magnitude >> 13 & 1u);
    return uint16_t(sign | ((magnitude - 0x38000000u) >> 13));
}

// Through the float on the side of `value` whose last bit is 1 unless it is exact: that keeps the one rounding right.
MSROI_INLINE uint16_t narrow(double value) {
    float near = float(value);
    uint32_t bits = bits_of(near);
    const double back = near;
    if (back != value && (bits & 0x7fffffffu) < 0x7f800000u) {
        if ((back < 0 ? -back : back) > (value < 0 ? -value : value)) --bits;
        bits |= 1u;
    }
    return narrow(float_of(bits));
}

MSROI_INLINE Float4 widen4(const void* halves) {
#if defined(__F16C__)
    return _mm_cvtph_ps(_mm_loadl_epi64(static_cast<const __m128i*>(halves)));
#elif defined(__aarch64__)
    return (Float4)vcvt_f32_f16(vreinterpret_f16_u16((uint16x4_t)load<Short4>(halves)));
#else
    const Word4 half = __builtin_convertvector(load<Short4>(halves), Word4);
    const Word4 magnitude = (half & 0x7fffu) << 13;
    const Word4 special = (Word4)(magnitude >= 0x0f800000u) & 0x7f800000u;
    const Word4 bits = (Word4)((Float4)magnitude * 0x1p112f);
    return (Float4)(bits | special | (half & 0x8000u) << 16);
#endif
}

MSROI_INLINE void narrow4(void* halves, Float4 value) {
#if defined(__F16C__)
    _mm_storel_epi64(static_cast<__m128i*>(halves), _mm_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
#elif defined(__aarch64__)
    store(halves, (Short4)vreinterpret_u16_f16(vcvt_f16_f32((float32x4_t)value)));
#else
    const Short4 half = {narrow(value[0]), narrow(value[1]), narrow(value[2]), narrow(value[3])};
    store(halves, half);
#endif
}

}  // namespace MSROI_ISA_NAMESPACE
}  // namespace msroi
