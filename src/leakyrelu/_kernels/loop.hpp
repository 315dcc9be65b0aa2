// The inner loop that NumPy calls for one row of elements: of any dtype and any strides.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include <numpy/npy_common.h>

#include "formulas.hpp"
#include "narrow.hpp"
#include "threads.hpp"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace {

// Elements in a block: a few buffers of them fit the first-level cache.
constexpr npy_intp block = 512;

// 16-bit floats converted to float at once: as many as vector registers hold.
constexpr npy_intp lanes = 32;

// From this size on, the output would push everything else out of the caches before it is read
// again, so it bypasses them. The size of the last-level cache is no guide, as shared servers
// report all of it. See benchmarks/README.md.
constexpr npy_intp bytes_to_stream = 32 << 20;

// Bytes of a row in which whole groups of pages outweigh the rest.
constexpr npy_intp shortest_streamed = 64 << 10;

// One call by NumPy: the arguments of F, then the output.
template <class F, class T>
struct Row {
  static constexpr bool is_widened =
      F::multiplies && (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>);
  using Computed = std::conditional_t<is_widened, float, T>;
  static constexpr int last = F::inputs - 1;  // the slope, if F has one
  static constexpr npy_intp size = sizeof(T);

  char* const* arguments;
  const npy_intp* steps;

  const T& input(int k, npy_intp i) const {
    return *reinterpret_cast<const T*>(arguments[k] + i * steps[k]);
  }
  T& output(npy_intp i) const {
    return *reinterpret_cast<T*>(arguments[F::inputs] + i * steps[F::inputs]);
  }
  bool is_contiguous(int k) const { return steps[k] == size; }
  bool has_one_slope() const { return F::inputs > 1 && steps[last] == 0; }
  bool needs_no_buffer() const {
    for (int k = 0; k <= last; ++k)
      if (!is_contiguous(k) && !(k == last && has_one_slope())) return false;
    return true;
  }

  // Whether the output overlaps no input except at the element being computed. NumPy also passes
  // overlapping rows that are right only if computed element by element.
  bool is_independent(npy_intp n) const {
    struct Extent {
      const char *first, *last;
    };
    const auto extent = [&](int k) {
      const char* begin = arguments[k];
      const char* end = begin + (n - 1) * steps[k];
      return begin < end ? Extent{begin, end} : Extent{end, begin};
    };
    const Extent out = extent(F::inputs);
    if (steps[F::inputs] == 0) return false;
    for (int k = 0; k <= last; ++k) {
      const bool is_out = arguments[k] == arguments[F::inputs] && steps[k] == steps[F::inputs];
      const Extent in = extent(k);
      if (!is_out && in.first < out.last + size && out.first < in.last + size) return false;
    }
    return true;
  }

  static Computed widened(T x) {
    if constexpr (is_widened)
      return to_float(x);
    else
      return x;
  }

  template <int... K>
  void one_by_one(npy_intp n, std::integer_sequence<int, K...>) const {
    for (npy_intp i = 0; i < n; ++i) {
      const Computed result = F::of(widened(input(K, i))...);
      if constexpr (is_widened)
        narrow(result, output(i));
      else
        output(i) = result;
    }
  }

  // `omp simd` promises that no element read was written before: see is_independent.
  template <int... K>
  [[gnu::always_inline]] static void vectorised(const Computed* const* in, bool one_slope,
                                                Computed* out, npy_intp n,
                                                std::integer_sequence<int, K...>) {
    if (one_slope) {
      const Computed negative_slope = *in[last];
#pragma omp simd
      for (npy_intp i = 0; i < n; ++i) out[i] = F::of(in[K][i]..., negative_slope);
    } else {
#pragma omp simd
      for (npy_intp i = 0; i < n; ++i) out[i] = F::of(in[K][i]..., in[last][i]);
    }
  }

  // one_slope points to the slope already widened.
  template <class Count>
  [[gnu::always_inline]] static void vectorised_widened(const T* const* in, const float* one_slope,
                                                        T* out, Count n) {
    float wide[F::inputs][lanes], result[lanes];
    const float* pointers[F::inputs];
    for (int k = 0; k < last; ++k) {
      widen_row(in[k], wide[k], n);
      pointers[k] = wide[k];
    }
    pointers[last] = one_slope ? one_slope : wide[last];
    if (!one_slope) widen_row(in[last], wide[last], n);
    vectorised(pointers, one_slope, result, n, std::make_integer_sequence<int, last>());
    narrow_row(result, out, n);
  }

  // Elements start to start + n (at most a block, if a buffer is needed), side by side in out.
  void compute(npy_intp start, npy_intp n, T* out) const {
    const bool one_slope = has_one_slope();
    T buffers[F::inputs][block];
    const T* in[F::inputs];
    for (int k = 0; k <= last; ++k) {
      if (is_contiguous(k) || (k == last && one_slope)) {
        in[k] = &input(k, start);
      } else {
        for (npy_intp i = 0; i < n; ++i) buffers[k][i] = input(k, start + i);
        in[k] = buffers[k];
      }
    }
    if constexpr (is_widened) {
      const float widened_slope = to_float(*in[last]);
      const float* const slope = one_slope ? &widened_slope : nullptr;
      for (; n >= lanes; n -= lanes, out += lanes) {
        vectorised_widened(in, slope, out, std::integral_constant<npy_intp, lanes>());
        for (const T*& pointer : in) pointer += lanes;
      }
      if (n > 0) vectorised_widened(in, slope, out, n);
    } else {
      vectorised(in, one_slope, out, n, std::make_integer_sequence<int, last>());
    }
  }

  // Elements from start on to where a cache line of the output begins.
  npy_intp to_line(npy_intp start) const {
    return -reinterpret_cast<std::uintptr_t>(&output(start)) % 64 / size;
  }

  void piece(npy_intp start, npy_intp stop) const {
    const bool in_place = is_contiguous(F::inputs);
    const npy_intp most = in_place && needs_no_buffer() ? stop - start : block;
    // Stores across two lines cost up to a third of the time; NumPy aligns to 16 bytes only.
    const npy_intp head = in_place ? to_line(start) : 0;
    if (head > 0 && (stop - start) * size > 4096) {
      compute(start, head, &output(start));
      start += head;
    }
    for (; start < stop; start += most) {
      const npy_intp n = most < stop - start ? most : stop - start;
      if (in_place) {
        compute(start, n, &output(start));
      } else {
        T results[block];
        compute(start, n, results);
        for (npy_intp i = 0; i < n; ++i) output(start + i) = results[i];
      }
    }
  }

#if defined(__SSE2__)
#if defined(__AVX__)
  using Register = __m256i;
  static void stream(Register* to, const Register* from) {
    _mm256_stream_si256(to, _mm256_load_si256(from));
  }
#else
  using Register = __m128i;
  static void stream(Register* to, const Register* from) {
    _mm_stream_si128(to, _mm_load_si128(from));
  }
#endif

  // Like piece, with stores that bypass the caches: four pages side by side, 256 bytes of each in
  // turn, which gives the memory more to do at once than one page after another. A register is
  // stored as soon as it is computed; 16-bit floats, with more to compute, gain by 256 bytes.
  template <bool one_slope>
  void streamed(npy_intp start, npy_intp stop) const {
    constexpr npy_intp pages = 4, page = 4096 / size, part = 256 / size;
    constexpr npy_intp step = is_widened ? part : npy_intp(sizeof(Register)) / size;
    const npy_intp head = to_line(start);
    piece(start, start + head);
    start += head;
    for (; start + pages * page <= stop; start += pages * page)
      for (npy_intp offset = start; offset < start + page; offset += part)
        for (npy_intp p = 0; p < pages; ++p) {
          const npy_intp first = offset + p * page;
          const T* in[F::inputs];
          for (int k = 0; k <= last; ++k) {
            in[k] = &input(k, first);
            if (k < last || !one_slope)
              for (npy_intp line = 0; line < 256; line += 64)
                _mm_prefetch(reinterpret_cast<const char*>(in[k] + part) + line, _MM_HINT_T0);
          }
          for (npy_intp i = 0; i < part; i += step) {
            alignas(64) T results[step];
            if constexpr (is_widened)
              compute(first, step, results);
            else
              vectorised(in, one_slope, results, step, std::make_integer_sequence<int, last>());
            auto* to = reinterpret_cast<Register*>(&output(first + i));
            for (npy_intp r = 0; r < step * size / npy_intp(sizeof(Register)); ++r)
              stream(to + r, reinterpret_cast<const Register*>(results) + r);
            for (int k = 0; k <= last; ++k)
              if (k < last || !one_slope) in[k] += step;
          }
        }
    _mm_sfence();
    piece(start, stop);
  }
  void streamed_piece(npy_intp start, npy_intp stop) const {
    has_one_slope() ? streamed<true>(start, stop) : streamed<false>(start, stop);
  }

  // Compute a row of n elements, of so many in all.
  bool should_stream(npy_intp n, npy_intp in_all) const {
    if (in_all * size < bytes_to_stream || n * size < shortest_streamed) return false;
    if (!is_contiguous(F::inputs) || !needs_no_buffer()) return false;
    for (int k = 0; k <= last; ++k)
      if (arguments[k] == arguments[F::inputs]) return false;
    return size <= 8;
  }
#else
  void streamed_piece(npy_intp start, npy_intp stop) const { piece(start, stop); }
  bool should_stream(npy_intp, npy_intp) const { return false; }
#endif
};

// The loop of a ufunc, by elements.
template <class F, class T>
void loop(char** arguments, const npy_intp* dimensions, const npy_intp* steps, void*) {
  const Row<F, T> row{arguments, steps};
  const npy_intp n = dimensions[0];
  if (n < 4 || !row.is_independent(n)) {
    row.one_by_one(n, std::make_integer_sequence<int, F::inputs>());
    return;
  }
  const bool streams = row.should_stream(n, n);
  npy_intp bytes = 0;
  for (int k = 0; k <= F::inputs; ++k)
    bytes += row.steps[k] ? n * sizeof(typename Row<F, T>::Computed) : 0;
  constexpr npy_intp unit = 64;  // so that no two threads write to one cache line
  split(n, unit, bytes, [&](npy_intp start, npy_intp stop) {
    streams ? row.streamed_piece(start, stop) : row.piece(start, stop);
  });
}

// The loop of a generalised ufunc, "(c,n),(c,m)->(c,n)" with m 1 or n: rows of n elements that
// have a slope, or n slopes, for each of the c channels. An elementwise ufunc would get one row at
// a time, too little for threads. NumPy copies operands that overlap.
template <class F, class T>
void channels_loop(char** arguments, const npy_intp* dimensions, const npy_intp* steps, void*) {
  const npy_intp outer = dimensions[0], channels = dimensions[1], n = dimensions[2];
  const npy_intp row_steps[] = {steps[4], dimensions[3] == 1 ? 0 : steps[6], steps[8]};
  const npy_intp rows = outer * channels, bytes = 2 * rows * n * sizeof(T);
  split(rows, 1, bytes, [&](npy_intp start, npy_intp stop) {
    npy_intp batch = start / channels, channel = start % channels;
    for (npy_intp i = start; i < stop; ++i) {
      char* starts[3];
      for (int k = 0; k < 3; ++k)
        starts[k] = arguments[k] + batch * steps[k] + channel * steps[3 + (k == 0 ? 0 : 2 * k)];
      const Row<F, T> row{starts, row_steps};
      row.should_stream(n, rows * n) ? row.streamed_piece(0, n) : row.piece(0, n);
      if (++channel == channels) channel = 0, ++batch;
    }
  });
}

}  // namespace
