// The family's formulas for one element. Those that multiply are not for 16-bit floats.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

// Internal linkage throughout the headers: each instruction set compiles its own copy, and
// the linker must not take one for another.
namespace {

struct Half {
  std::uint16_t bits;
};
struct BFloat16 {
  std::uint16_t bits;
};

// A float's bits as an integer, and the bits of two values.
template <class T>
struct Bits;
template <>
struct Bits<Half> {
  using type = std::uint16_t;
  static constexpr type one = 0x3c00, infinity = 0x7c00;
};
template <>
struct Bits<BFloat16> {
  using type = std::uint16_t;
  static constexpr type one = 0x3f80, infinity = 0x7f80;
};
template <>
struct Bits<float> {
  using type = std::uint32_t;
  static constexpr type one = 0x3f800000, infinity = 0x7f800000;
};
template <>
struct Bits<double> {
  using type = std::uint64_t;
  static constexpr type one = 0x3ff0000000000000, infinity = 0x7ff0000000000000;
};

template <class To, class From>
inline To same_bits(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

// All ones if bits < limit, else all zeros; the limit is below the highest bit. Where the
// difference borrows, and bits have no highest bit themselves, the sign is set.
template <class U>
inline U mask_below(U bits, U limit) {
  const U sign = static_cast<U>(static_cast<U>(bits - limit) & ~bits);
  return static_cast<U>(static_cast<std::make_signed_t<U>>(sign) >> (8 * sizeof(U) - 1));
}

// 1 if x > 0 else negative_slope; NaN counts as not positive. A comparison of floats raises
// the "invalid" flag for a NaN, which NumPy would report as a RuntimeWarning. And compilers may
// turn a choice between two values into a branch, 40 times slower on random signs. Bit masks
// avoid both: the bits of the positive numbers go from 1 to those of infinity.
template <class T>
inline T slope(T x, T negative_slope) {
  using U = typename Bits<T>::type;
  const U positive = mask_below<U>(same_bits<U>(x) - 1, Bits<T>::infinity);
  return same_bits<T>(static_cast<U>((positive & Bits<T>::one) |
                                     (~positive & same_bits<U>(negative_slope))));
}

inline long double slope(long double x, long double negative_slope) {
  return std::isgreater(x, 0.0L) ? 1.0L : negative_slope;
}

// factor times the slope, rather than a choice between two products: inf * 0 would raise a flag
// for a value that is not used.
struct LeakyReLU {
  static constexpr int inputs = 2;
  static constexpr bool multiplies = true;
  template <class T>
  static T of(T x, T negative_slope) {
    return x * slope(x, negative_slope);
  }
};

struct LeakyReLUDerivative {
  static constexpr int inputs = 2;
  static constexpr bool multiplies = false;
  template <class T>
  static T of(T x, T negative_slope) {
    return slope(x, negative_slope);
  }
};

struct LeakyReLUBackward {
  static constexpr int inputs = 3;
  static constexpr bool multiplies = true;
  template <class T>
  static T of(T gradient, T x, T negative_slope) {
    return gradient * slope(x, negative_slope);
  }
};

// 0 where x <= 0, else x, NaN included: bits from those of -0.0 to those of -infinity become 0.
struct ReLU {
  static constexpr int inputs = 1;
  static constexpr bool multiplies = false;
  template <class T>
  static T of(T x) {
    using U = typename Bits<T>::type;
    constexpr U negative_zero = U(1) << (8 * sizeof(U) - 1);
    const U bits = same_bits<U>(x);
    return same_bits<T>(
        static_cast<U>(bits & ~mask_below<U>(bits - negative_zero, Bits<T>::infinity + 1)));
  }
  static long double of(long double x) { return std::islessequal(x, 0.0L) ? 0.0L : x; }
};

struct ReLU2 {
  static constexpr int inputs = 1;
  static constexpr bool multiplies = true;
  template <class T>
  static T of(T x) {
    const T y = ReLU::of(x);
    return y * y;
  }
};

struct LeakyReLU2 {
  static constexpr int inputs = 2;
  static constexpr bool multiplies = true;
  template <class T>
  static T of(T x, T negative_slope) {
    const T y = LeakyReLU::of(x, negative_slope);
    return y * y;
  }
};

}  // namespace
