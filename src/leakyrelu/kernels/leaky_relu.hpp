// Leaky ReLU and its derivative: for one element, and for a row of them in memory.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

// One binary, and the widest vectors of the processor that runs it: the loader picks a clone.
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__)
#define LEAKYRELU_CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define LEAKYRELU_CLONES
#endif
#if defined(__GNUC__)
#define LEAKYRELU_INLINE inline __attribute__((always_inline))  // else no part of the clone
#else
#define LEAKYRELU_INLINE inline
#endif

namespace leakyrelu {

// 1 if x > 0 else negative_slope; NaN counts as not positive. It raises no floating-point
// flag: a plain `x > 0` raises "invalid" for a NaN, which NumPy would report as a
// RuntimeWarning, and std::isgreater is not vectorised by the compilers. `==` is quiet.
template <class T>
LEAKYRELU_INLINE T derivative(T x, T negative_slope) {
  return (std::fabs(x) == x) & (x != T(0)) ? T(1) : negative_slope;
}

// x times its slope, and not `x > 0 ? x : negative_slope * x`: a vectorised form of the
// latter multiplies every x, and inf * 0 raises a flag for a value nobody asked for.
template <class T>
LEAKYRELU_INLINE T value(T x, T negative_slope) {
  return x * derivative(x, negative_slope);
}

// `omp simd` promises that no iteration reads what another wrote. That holds for disjoint
// rows and for out == x, the only two a ufunc loop is handed.
template <class T>
LEAKYRELU_INLINE void derivative_row(const T* x, T negative_slope, T* out, std::ptrdiff_t n) {
#pragma omp simd
  for (std::ptrdiff_t i = 0; i < n; ++i) out[i] = derivative(x[i], negative_slope);
}

// The slopes of a block are written out first: in one loop the compiler would turn
// `x * (positive ? 1 : a)` into a branch, which is 10 times slower on random signs.
template <class T>
LEAKYRELU_INLINE void value_row(const T* x, T negative_slope, T* out, std::ptrdiff_t n) {
  constexpr std::ptrdiff_t block = 512;
  T slopes[block];
  for (std::ptrdiff_t start = 0; start < n; start += block) {
    const std::ptrdiff_t size = std::min(block, n - start);
    derivative_row(x + start, negative_slope, slopes, size);
#pragma omp simd
    for (std::ptrdiff_t i = 0; i < size; ++i) out[start + i] = x[start + i] * slopes[i];
  }
}

}  // namespace leakyrelu
