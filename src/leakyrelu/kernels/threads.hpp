// Splitting a long row among OpenMP threads.
#pragma once

#include <cfenv>
#include <cstddef>

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace leakyrelu {

// How many threads to use for a row that reads and writes so many bytes; see threads.cpp.
int threads_for(std::ptrdiff_t bytes);

}  // namespace leakyrelu

namespace {

// Calls piece(start, stop) for pieces of 0..n, multiples of `unit`, on as many threads as pay.
template <class Piece>
void split(std::ptrdiff_t n, std::ptrdiff_t unit, std::ptrdiff_t bytes, const Piece& piece) {
#if defined(_OPENMP)
  const int threads = leakyrelu::threads_for(bytes);
  if (threads > 1) {
    // Rounding, flushing to zero and the flags that NumPy makes warnings of belong to a
    // thread: the others take those of the caller, and the caller takes their flags.
    std::fenv_t environment;
    std::fegetenv(&environment);
    int flags = 0;
#pragma omp parallel num_threads(threads) reduction(| : flags)
    {
      std::fesetenv(&environment);
      const std::ptrdiff_t team = omp_get_num_threads();  // may be fewer than asked for
      const std::ptrdiff_t size = (n / team / unit + 1) * unit;
      const std::ptrdiff_t start = omp_get_thread_num() * size;
      const std::ptrdiff_t stop = start + size < n ? start + size : n;
      if (start < stop) piece(start, stop);
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
