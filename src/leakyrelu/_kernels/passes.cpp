// Compiled once for each instruction set, with INSTRUCTION_SET its name.
#include "passes.hpp"

#include "layers.hpp"

namespace {

template <class T>
constexpr leakyrelu::Passes passes_of = {
    [](const void* gradient, const void* x, const void* weight, void* out, void* grad_weight,
       npy_intp outer, npy_intp channels, npy_intp inner, bool is_output) {
      prelu_backward(static_cast<const T*>(gradient), static_cast<const T*>(x),
                     static_cast<const T*>(weight), static_cast<T*>(out),
                     static_cast<T*>(grad_weight), outer, channels, inner, is_output);
    },
    [](const void* factor, const void* x, void* out, npy_intp n, double lower, double upper,
       const std::uint64_t* seeds, npy_intp parts) {
      rrelu(static_cast<const T*>(factor), static_cast<const T*>(x), static_cast<T*>(out), n,
            lower, upper, seeds, parts);
    }};

}  // namespace

#define STRING(name) #name
#define NAME_OF(name) STRING(name)
#define JOINED(name) name##_layers
#define LAYERS_OF(name) JOINED(name)

const leakyrelu::Layers leakyrelu::LAYERS_OF(INSTRUCTION_SET) = {
    NAME_OF(INSTRUCTION_SET), passes_of<Half>, passes_of<BFloat16>, passes_of<float>,
    passes_of<double>};
