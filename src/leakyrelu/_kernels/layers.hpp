// The passes over tensors, for every instruction set they are compiled for.
#pragma once

#include <numpy/npy_common.h>

#include <cstdint>

namespace leakyrelu {

// See passes.hpp.
struct Passes {
  void (*prelu_backward)(const void* gradient, const void* x, const void* weight, void* out,
                         void* grad_weight, npy_intp outer, npy_intp channels, npy_intp inner,
                         bool is_output);
  void (*rrelu)(const void* factor, const void* x, void* out, npy_intp n, double lower,
                double upper, const std::uint64_t* seeds, npy_intp parts);
};

struct Layers {
  const char* instruction_set;
  Passes float16, bfloat16, float32, float64;
};

extern const Layers baseline_layers, avx2_layers, avx512_layers;

}  // namespace leakyrelu
