// 16-bit floats: conversion to float, for multiplication, and back.
#pragma once

#include <cstdint>

#include <numpy/halffloat.h>

#include "formulas.hpp"

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace {

#if defined(__F16C__)
inline float to_float(Half x) { return _cvtsh_ss(x.bits); }
inline void narrow(float x, Half& out) { out.bits = _cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT); }
#else
inline float to_float(Half x) { return npy_half_to_float(x.bits); }
inline void narrow(float x, Half& out) { out.bits = npy_float_to_half(x); }
#endif

inline float to_float(BFloat16 x) { return same_bits<float>(std::uint32_t(x.bits) << 16); }

// The product of two float16, or of two bfloat16, is exact in float (but for underflow far
// below what either holds), so it is rounded once, to nearest, ties to even, as in IEEE 754.
inline void narrow(float x, BFloat16& out) {
  // This turns no NaN into an infinity: one that came from bfloat16 has zeros below.
  const auto bits = same_bits<std::uint32_t>(x);
  out.bits = static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

[[gnu::always_inline]] inline void widen_row(const BFloat16* x, float* out, std::ptrdiff_t n) {
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < n; ++i) out[i] = to_float(x[i]);
}
[[gnu::always_inline]] inline void narrow_row(const float* x, BFloat16* out, std::ptrdiff_t n) {
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < n; ++i) narrow(x[i], out[i]);
}

[[gnu::always_inline]] inline void widen_row(const Half* x, float* out, std::ptrdiff_t n) {
  std::ptrdiff_t i = 0;
#if defined(__F16C__)
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(x + i))));
#endif
  for (; i < n; ++i) out[i] = to_float(x[i]);
}
[[gnu::always_inline]] inline void narrow_row(const float* x, Half* out, std::ptrdiff_t n) {
  std::ptrdiff_t i = 0;
#if defined(__F16C__)
  for (; i + 8 <= n; i += 8)
    _mm_storeu_si128((__m128i*)(out + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
#endif
  for (; i < n; ++i) narrow(x[i], out[i]);
}

}  // namespace
