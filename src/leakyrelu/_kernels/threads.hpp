// Splitting a long row among OpenMP threads.
#pragma once

#include <atomic>
#include <cfenv>
#include <cstddef>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace leakyrelu {

// How many threads to use for a row that reads and writes so many bytes; see threads.cpp.
int threads_for(std::ptrdiff_t bytes);

}  // namespace leakyrelu

namespace {

constexpr std::ptrdiff_t pieces_a_share = 16;

// Calls piece(start, stop) for pieces of 0..n, multiples of `unit`, on as many threads as pay off.
template <class Piece>
void split(std::ptrdiff_t n, std::ptrdiff_t unit, std::ptrdiff_t bytes, const Piece& piece) {
#if defined(_OPENMP)
  const int threads = leakyrelu::threads_for(bytes);
  if (threads > 1) {
    // Each thread has its own share, the same at each call, so that it is in its cache, and then
    // helps the others: nobody waits for a thread that wakes up late.
    const std::ptrdiff_t share = (n / threads / unit + 1) * unit;
    const std::ptrdiff_t size = (share / pieces_a_share / unit + 1) * unit;
    struct alignas(64) Share {
      std::atomic<std::ptrdiff_t> taken{0};
    };
    std::vector<Share> shares(threads);
    // Rounding, flushing to zero and the flags that NumPy turns into warnings belong to a thread:
    // the others take those of the caller, and the caller collects their flags.
    std::fenv_t environment;
    std::fegetenv(&environment);
    int flags = 0;
#pragma omp parallel num_threads(threads) reduction(| : flags)
    {
      std::fesetenv(&environment);
      for (int k = 0; k < threads; ++k) {
        const int owner = (omp_get_thread_num() + k) % threads;
        const std::ptrdiff_t first = owner * share;
        const std::ptrdiff_t end = first + share < n ? first + share : n;
        for (;;) {
          const std::ptrdiff_t start =
              first + shares[owner].taken.fetch_add(size, std::memory_order_relaxed);
          if (start >= end) break;
          piece(start, start + size < end ? start + size : end);
        }
      }
      flags = std::fetestexcept(FE_ALL_EXCEPT);
    }
    std::feraiseexcept(flags);
    return;
  }
#else
  (void)unit, (void)bytes;
#endif
  piece(0, n);
}

}  // namespace
