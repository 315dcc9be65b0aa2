// The ufunc loops of every instruction set they are compiled for.
#pragma once

#include <numpy/npy_common.h>

namespace leakyrelu {

// What NumPy calls a PyUFuncGenericFunction.
using Loop = void (*)(char** arguments, const npy_intp* dimensions, const npy_intp* steps, void*);

constexpr int native_dtypes = 4;  // NumPy's own: float16, float32, float64, longdouble

struct Loops {
  Loop native[native_dtypes];
  Loop bfloat16;
};

struct Kernels {
  const char* instruction_set;
  Loops leaky_relu, leaky_relu_derivative, leaky_relu_backward, relu, relu2, leaky_relu2;
  Loops prelu, prelu_derivative;  // a slope for each channel
};

extern const Kernels baseline, avx2, avx512;

}  // namespace leakyrelu
