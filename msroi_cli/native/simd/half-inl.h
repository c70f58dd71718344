// float16 to float32 and back, four at a time or one, rounded to nearest, ties to even.
// Included in this folder alone, as lanes-inl.h is.
#pragma once

#include "simd/lanes-inl.h"

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
    Short8 four = {};
    __builtin_memcpy(&four, halves, 8);
    const Int4 half = (Int4)__builtin_shufflevector(four, Short8{}, 0, 8, 1, 9, 2, 10, 3, 11);
    const Int4 magnitude = (half & 0x7fff) << 13;
    const Int4 special = (magnitude >= 0x0f800000) & 0x7f800000;
    const Int4 bits = (Int4)((Float4)magnitude * 0x1p112f);
    return (Float4)(bits | special | (half & 0x8000) << 16);
#endif
}

MSROI_INLINE void narrow4(void* halves, Float4 value) {
#if defined(__F16C__)
    _mm_storel_epi64(static_cast<__m128i*>(halves), _mm_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
#elif defined(__aarch64__)
    store(halves, (Short4)vreinterpret_u16_f16(vcvt_f16_f32((float32x4_t)value)));
#else
    const Int4 bits = (Int4)value, magnitude = bits & 0x7fffffff;
    const Int4 below_normal = (Int4)((Float4)magnitude + 0.5f) - 0x3f000000;
    const Int4 normal = (magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000) >> 13;
    const Int4 special = 0x7c00 | ((magnitude > 0x7f800000) & 0x0200);
    const Int4 is_small = magnitude < 0x38800000, is_special = magnitude >= 0x47800000;
    const Int4 half = (is_small & below_normal) | (is_special & special) | (~(is_small | is_special) & normal);
    const Short8 signed_half = (Short8)(half | (bits >> 16 & 0x8000));
    const Short8 four = __builtin_shufflevector(signed_half, signed_half, 0, 2, 4, 6, 0, 2, 4, 6);
    __builtin_memcpy(halves, &four, 8);
#endif
}

}  // namespace MSROI_ISA_NAMESPACE
}  // namespace msroi
