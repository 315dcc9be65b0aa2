#include "threads.hpp"

#include <atomic>

#if defined(_OPENMP) && __has_include(<pthread.h>)
#include <pthread.h>
#endif

namespace leakyrelu {

namespace {

// A thread pays off from about this many bytes: see "When threads and streaming pay" in
// benchmarks/README.md.
constexpr std::ptrdiff_t bytes_a_thread = 512 * 1024;

// OpenMP's threads do not survive a fork, and GNU's library waits for them forever. A forked
// child, usually one of many workers, therefore uses the one thread it has.
std::atomic<bool> in_forked_child{false};

#if defined(_OPENMP) && __has_include(<pthread.h>)
const int registered =
    pthread_atfork(nullptr, nullptr, [] { in_forked_child.store(true, std::memory_order_relaxed); });
#endif

}  // namespace

int threads_for(std::ptrdiff_t bytes) {
#if defined(_OPENMP)
  const std::ptrdiff_t useful = bytes / bytes_a_thread;
  if (useful < 2 || in_forked_child.load(std::memory_order_relaxed) || omp_in_parallel()) return 1;
  const int most = omp_get_max_threads();  // OMP_NUM_THREADS, threadpoolctl
  return useful < most ? static_cast<int>(useful) : most;
#else
  (void)bytes;
  return 1;
#endif
}

}  // namespace leakyrelu
