// The passes over a layer's tensors: backward for PReLU, forward and backward for RReLU.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "loop.hpp"

namespace {

// 16-bit floats are computed in float.
template <class T>
constexpr bool is_narrow = std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>;
template <class T>
using Wide = std::conditional_t<is_narrow<T>, float, T>;

template <class T>
[[gnu::always_inline]] inline const Wide<T>* widened(const T* x, Wide<T>* buffer, npy_intp n) {
  if constexpr (is_narrow<T>) {
    widen_row(x, buffer, n);
    return buffer;
  } else {
    return x;
  }
}

// What an element adds to the gradient of its slope: gradient * x where x is not positive.
template <class T>
inline T to_slope(T gradient, T x) {
  using U = typename Bits<T>::type;
  const U positive = mask_below<U>(same_bits<U>(x) - 1, Bits<T>::infinity);
  return same_bits<T>(static_cast<U>(same_bits<U>(gradient * x) & ~positive));
}

// Adds `lanes` numbers in an order that all instruction sets share: two additions in T, then
// in double.
template <class T>
inline double sum_of_lanes(const T* x) {
  constexpr npy_intp quarter = lanes / 4;
  double sums[quarter];
#pragma omp simd
  for (npy_intp k = 0; k < quarter; ++k)
    sums[k] = (x[k] + x[k + quarter]) + (x[k + 2 * quarter] + x[k + 3 * quarter]);
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

// At most this many numbers are added up in Wide<T> before their sum is added in double.
constexpr npy_intp most_added = block / lanes;

// n elements with one slope; returns its gradient.
template <class T>
double backward_of_one_slope(const T* gradient, const T* x, Wide<T> slope, T* out, npy_intp n) {
  Wide<T> wide_gradient[block], wide_x[block], result[block];
  double total = 0;
  for (npy_intp start = 0; start < n; start += block) {
    const npy_intp m = std::min(block, n - start);
    const Wide<T>* const g = widened(gradient + start, wide_gradient, m);
    const Wide<T>* const z = widened(x + start, wide_x, m);
    Wide<T>* to = result;
    if constexpr (!is_narrow<T>) to = out + start;
    Wide<T> sums[lanes] = {};
    npy_intp i = 0;
    const auto step = [&](auto width) {
      for (; i + width <= m; i += width)
#pragma omp simd
        for (npy_intp k = 0; k < width; ++k) {
          sums[k] += to_slope(g[i + k], z[i + k]);
          to[i + k] = LeakyReLUBackward::of(g[i + k], z[i + k], slope);
        }
    };
    step(std::integral_constant<npy_intp, lanes>());
    step(std::integral_constant<npy_intp, 8>());
    step(std::integral_constant<npy_intp, 1>());
    if constexpr (is_narrow<T>) narrow_row(result, out + start, m);
    total += sum_of_lanes(sums);
  }
  return total;
}

// Rows of at most a block of elements, one after another at a distance of `step`, whose
// elements have slopes of their own, the same in each row; adds their gradients to `totals`.
template <class T>
void backward_of_slopes(const T* gradient, const T* x, const Wide<T>* slopes, T* out,
                        npy_intp width, npy_intp rows, npy_intp step, double* totals) {
  Wide<T> wide_gradient[block], wide_x[block], result[block];
  for (npy_intp row = 0; row < rows;) {
    Wide<T> sums[block];
    std::fill(sums, sums + width, Wide<T>(0));
    for (const npy_intp stop = std::min(row + most_added, rows); row < stop; ++row) {
      const npy_intp start = row * step;
      const Wide<T>* const g = widened(gradient + start, wide_gradient, width);
      const Wide<T>* const z = widened(x + start, wide_x, width);
      Wide<T>* to = result;
      if constexpr (!is_narrow<T>) to = out + start;
#pragma omp simd
      for (npy_intp i = 0; i < width; ++i) {
        sums[i] += to_slope(g[i], z[i]);
        to[i] = LeakyReLUBackward::of(g[i], z[i], slopes[i]);
      }
      if constexpr (is_narrow<T>) narrow_row(result, out + start, width);
    }
    for (npy_intp i = 0; i < width; ++i) totals[i] += sums[i];
  }
}

// Long rows, each of one channel: whole, or in segments.
template <class T>
void backward_by_rows(const T* gradient, const T* x, const Wide<T>* slopes, T* out,
                      npy_intp outer, npy_intp channels, npy_intp inner, double* totals) {
  constexpr npy_intp longest = 1 << 14;
  const npy_intp segments = (inner + longest - 1) / longest, items = outer * channels * segments;
  std::vector<double> sums(items);
  split(items, 1, 3 * outer * channels * inner * sizeof(Wide<T>), [&](auto start, auto stop) {
    npy_intp row = start / segments, segment = start % segments, channel = row % channels;
    for (npy_intp i = start; i < stop; ++i) {
      const npy_intp first = segment * longest, at = row * inner + first;
      sums[i] = backward_of_one_slope(gradient + at, x + at, slopes[channel], out + at,
                                      std::min(longest, inner - first));
      if (++segment == segments) {
        segment = 0, ++row;
        if (++channel == channels) channel = 0;
      }
    }
  });
  const double* sum = sums.data();
  for (npy_intp o = 0; o < outer; ++o)
    for (npy_intp c = 0; c < channels; ++c)
      for (npy_intp segment = 0; segment < segments; ++segment) totals[c] += *sum++;
}

// Short rows, taken together until there are enough slopes to fill vector registers: a period
// of elements, whose slopes repeat in the next. Split into groups of periods and, where these
// are few, each group into columns.
template <class T>
void backward_by_columns(const T* gradient, const T* x, const Wide<T>* slopes, T* out,
                         npy_intp outer, npy_intp channels, npy_intp inner, double* totals) {
  const npy_intp once = channels * inner, n = outer * once;
  const npy_intp repeats = (256 + once - 1) / once, period = repeats * once;
  std::vector<Wide<T>> repeated(period);
  for (npy_intp c = 0; c < channels; ++c) std::fill_n(&repeated[c * inner], inner, slopes[c]);
  for (npy_intp i = once; i < period; ++i) repeated[i] = repeated[i - once];

  const npy_intp periods = std::max({2 * most_added, (1 << 14) / period, n / period / 64 + 1});
  const npy_intp groups = (n + periods * period - 1) / (periods * period);
  const npy_intp columns = groups < 16 ? (period + block - 1) / block : 1;
  const npy_intp span = columns == 1 ? period : block;
  std::vector<double> sums(groups * period, 0.0);
  split(groups * columns, 1, 3 * n * sizeof(Wide<T>), [&](npy_intp start, npy_intp stop) {
    for (npy_intp i = start; i < stop; ++i) {
      const npy_intp group = i / columns, first = group * periods * period;
      const npy_intp length = std::min(periods * period, n - first);
      const npy_intp rows = length / period, rest = length % period;
      const npy_intp end = std::min(i % columns * span + span, period);
      for (npy_intp column = i % columns * span; column < end; column += block) {
        const auto rows_from = [&](npy_intp row, npy_intp width, npy_intp rows) {
          const npy_intp at = first + row * period + column;
          backward_of_slopes(gradient + at, x + at, &repeated[column], out + at, width, rows,
                             period, &sums[group * period + column]);
        };
        const npy_intp width = std::min(block, end - column);
        rows_from(0, width, rows);
        if (column < rest) rows_from(rows, std::min(width, rest - column), 1);
      }
    }
  });
  for (npy_intp group = 1; group < groups; ++group)
    for (npy_intp i = 0; i < period; ++i) sums[i] += sums[group * period + i];
  const double* sum = sums.data();
  for (npy_intp r = 0; r < repeats; ++r)
    for (npy_intp c = 0; c < channels; ++c)
      for (npy_intp i = 0; i < inner; ++i) totals[c] += *sum++;
}

// out = gradient * (1 if x > 0 else weight), and grad_weight the sum of gradient * x over the
// elements of each channel that are not positive. Element (o, c, i) of all but the weights is
// at (o * channels + c) * inner + i; out may be gradient or x. The order of the sums depends only
// on the shape, so they are the same on any number of threads. If x is the output of PReLU, of
// positive weights, the sum is divided by the weight: the input is the output divided by it.
template <class T>
void prelu_backward(const T* gradient, const T* x, const T* weight, T* out, T* grad_weight,
                    npy_intp outer, npy_intp channels, npy_intp inner, bool is_output) {
  constexpr npy_intp shortest_row = 64;
  std::vector<Wide<T>> buffer(channels);
  std::vector<double> totals(channels, 0.0);
  const Wide<T>* const slopes = widened(weight, buffer.data(), channels);
  if (outer * channels * inner > 0) {
    const auto backward = inner < shortest_row ? backward_by_columns<T> : backward_by_rows<T>;
    backward(gradient, x, slopes, out, outer, channels, inner, totals.data());
  }
  for (npy_intp c = 0; c < channels; ++c) {
    if (is_output) totals[c] /= slopes[c];
    if constexpr (is_narrow<T>)
      narrow(static_cast<float>(totals[c]), grad_weight[c]);
    else
      grad_weight[c] = static_cast<T>(totals[c]);
  }
}

// Random numbers by xoshiro128+ (Blackman and Vigna, "Scrambled linear pseudorandom number
// generators", 2021), several generators side by side. Each `drawn` elements have their own
// generators, so they get the same numbers whichever thread draws them.
constexpr npy_intp drawn = 8192;

class Generators {
 public:
  static constexpr npy_intp count = 16;

  // Their states by SplitMix64 (Steele, Lea and Flood, 2014).
  Generators(std::uint64_t seed, std::uint64_t group) {
    for (npy_intp k = 0; k < 2 * count; ++k) {
      std::uint64_t z = seed + (2 * count * group + k + 1) * 0x9E3779B97F4A7C15;
      z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
      z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
      z ^= z >> 31;
      state[k / count * 2][k % count] = static_cast<std::uint32_t>(z);
      state[k / count * 2 + 1][k % count] = static_cast<std::uint32_t>(z >> 32);
    }
  }

  // Draws n numbers from [lower, upper), of which step is the 2^24th part: the upper 24 bits,
  // as many as a float holds. n is a multiple of count.
  template <class T>
  [[gnu::always_inline]] void draw(T lower, T step, T* out, npy_intp n) {
    for (npy_intp i = 0; i < n; i += count)
#pragma omp simd
      for (npy_intp k = 0; k < count; ++k) {
        std::uint32_t a = state[0][k], b = state[1][k], c = state[2][k], d = state[3][k];
        out[i + k] = lower + step * static_cast<T>(static_cast<std::int32_t>((a + d) >> 8));
        const std::uint32_t shifted = b << 9;
        c ^= a, d ^= b, b ^= c, a ^= d, c ^= shifted;
        d = (d << 11) | (d >> 21);
        state[0][k] = a, state[1][k] = b, state[2][k] = c, state[3][k] = d;
      }
  }

 private:
  std::uint32_t state[4][count];
};

// out = factor * (1 if x > 0 else a slope drawn for that element), the same for the same seed.
// Forward, the factor is x; backward, it is the gradient. The parts, one after another and of n
// elements each, have their own seeds.
template <class T>
void rrelu(const T* factor, const T* x, T* out, npy_intp n, double lower, double upper,
           const std::uint64_t* seeds, npy_intp parts) {
  // Bounds too far apart for their distance to fit Wide<T> are halved, and the numbers doubled.
  const bool is_wide = !(upper - lower <= std::numeric_limits<Wide<T>>::max());
  if (is_wide) lower /= 2, upper /= 2;
  const Wide<T> step = static_cast<Wide<T>>((upper - lower) / (1 << 24));
  const npy_intp groups = (n + drawn - 1) / drawn;
  split(parts * groups, 1, 4 * parts * n * sizeof(Wide<T>), [&](auto start, auto stop) {
    for (npy_intp item = start; item < stop; ++item) {
      const npy_intp part = item / groups, group = item % groups;
      Generators generators(seeds[part], group);
      const npy_intp first = part * n + group * drawn, end = std::min(first + drawn, (part + 1) * n);
      for (npy_intp i = first; i < end; i += block) {
        Wide<T> slopes[block], wide_factor[block], wide_x[block], result[block];
        generators.draw(static_cast<Wide<T>>(lower), step, slopes, block);
        if (is_wide)
          for (Wide<T>& slope : slopes) slope *= 2;
        const npy_intp m = std::min(block, end - i);
        const Wide<T>* const f = widened(factor + i, wide_factor, m);
        const Wide<T>* const z = factor == x ? f : widened(x + i, wide_x, m);
        Wide<T>* to = result;
        if constexpr (!is_narrow<T>) to = out + i;
#pragma omp simd
        for (npy_intp k = 0; k < m; ++k) to[k] = LeakyReLUBackward::of(f[k], z[k], slopes[k]);
        if constexpr (is_narrow<T>) narrow_row(result, out + i, m);
      }
    }
  });
}

}  // namespace
