// The choice among the instruction sets that were compiled.
#pragma once

#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace leakyrelu {

inline bool has_instruction_set(const char* name) {
#if defined(X86_INSTRUCTION_SETS)
  __builtin_cpu_init();
  if (!std::strcmp(name, "avx2")) return __builtin_cpu_supports("avx2");
  if (!std::strcmp(name, "avx512"))
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
#endif
  return !std::strcmp(name, "baseline");
}

// The best one that this processor has, of those compiled, given smallest first.
// LEAKYRELU_INSTRUCTION_SET asks for a smaller one, so that each can be tested anywhere.
template <class Compiled>
const Compiled& best_of(std::initializer_list<const Compiled*> all) {
  const char* const wanted = std::getenv("LEAKYRELU_INSTRUCTION_SET");
  const Compiled* best = *all.begin();
  for (const Compiled* one : all)
    if (has_instruction_set(one->instruction_set) &&
        (!wanted || !std::strcmp(wanted, one->instruction_set)))
      best = one;
  return *best;
}

}  // namespace leakyrelu
