// Compiled once for each instruction set, with INSTRUCTION_SET its name.
#include "loops.hpp"

#include "loop.hpp"

namespace {

template <class F>
constexpr leakyrelu::Loops loops_of = {
    {loop<F, Half>, loop<F, float>, loop<F, double>, loop<F, npy_longdouble>}, loop<F, BFloat16>};

template <class F>
constexpr leakyrelu::Loops channels_loops_of = {
    {channels_loop<F, Half>, channels_loop<F, float>, channels_loop<F, double>,
     channels_loop<F, npy_longdouble>},
    channels_loop<F, BFloat16>};

}  // namespace

#define STRING(name) #name
#define NAME_OF(name) STRING(name)

const leakyrelu::Kernels leakyrelu::INSTRUCTION_SET = {
    NAME_OF(INSTRUCTION_SET), loops_of<LeakyReLU>, loops_of<LeakyReLUDerivative>,
    loops_of<LeakyReLUBackward>, loops_of<ReLU>, loops_of<ReLU2>, loops_of<LeakyReLU2>,
    channels_loops_of<LeakyReLU>, channels_loops_of<LeakyReLUDerivative>};
