// The limit for a function of one array: copying it, on several threads. Built by functions.py.
#include <immintrin.h>
#include <omp.h>

#include <cstddef>
#include <cstring>

template <class Copy>
static void split(char* out, const char* in, std::ptrdiff_t bytes, int threads, Copy copy) {
#pragma omp parallel num_threads(threads)
  {
    const std::ptrdiff_t size = (bytes / omp_get_num_threads() / 4096 + 1) * 4096;
    const std::ptrdiff_t start = omp_get_thread_num() * size;
    const std::ptrdiff_t n = start + size < bytes ? size : bytes - start;
    if (n > 0) copy(out + start, in + start, n);
  }
}

extern "C" void copy_by_memcpy(char* out, const char* in, std::ptrdiff_t bytes, int threads) {
  const auto copy = [](char* to, const char* from, std::ptrdiff_t n) { std::memcpy(to, from, n); };
  split(out, in, bytes, threads, copy);
}

// With stores past the caches, as the STREAM benchmark has them. `out` starts on a cache line.
extern "C" void copy_streaming(char* out, const char* in, std::ptrdiff_t bytes, int threads) {
  split(out, in, bytes, threads, [](char* to, const char* from, std::ptrdiff_t n) {
    std::ptrdiff_t at = 0;
    for (; at + 32 <= n; at += 32)
      _mm256_stream_si256((__m256i*)(to + at), _mm256_loadu_si256((const __m256i*)(from + at)));
    _mm_sfence();
    std::memcpy(to + at, from + at, n - at);
  });
}
