// The extension module of the layers: passes over the memory of PyTorch's tensors. PyTorch is
// loaded first, and with it the only OpenMP library of that name: so the layers share the threads
// of PyTorch's operations, as many as torch.set_num_threads allows.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <new>
#include <vector>

#include "instruction_sets.hpp"
#include "layers.hpp"

namespace {

const leakyrelu::Layers& layers = leakyrelu::best_of<leakyrelu::Layers>({
    &leakyrelu::baseline_layers,
#if defined(X86_INSTRUCTION_SETS)
    &leakyrelu::avx2_layers,
    &leakyrelu::avx512_layers,
#endif
});

const leakyrelu::Passes* passes_of(const char* dtype) {
  if (!std::strcmp(dtype, "float16")) return &layers.float16;
  if (!std::strcmp(dtype, "bfloat16")) return &layers.bfloat16;
  if (!std::strcmp(dtype, "float32")) return &layers.float32;
  if (!std::strcmp(dtype, "float64")) return &layers.float64;
  PyErr_Format(PyExc_TypeError, "no pass for the dtype %s", dtype);
  return nullptr;
}

using Address = unsigned long long;
void* memory(Address address) { return reinterpret_cast<void*>(address); }

// Whether n elements can be at each address; if not, sets an error.
bool can_be_at(std::initializer_list<Address> addresses, Py_ssize_t n) {
  if (n < 0) {
    PyErr_SetString(PyExc_ValueError, "a size is below 0");
    return false;
  }
  if (n > 0 && std::count(addresses.begin(), addresses.end(), Address(0))) {
    PyErr_Format(PyExc_ValueError, "an address of %zd elements is 0: that tensor has no memory", n);
    return false;
  }
  return true;
}

template <class Work>
PyObject* without_lock(const Work& work) {
  bool had_memory = true;
  Py_BEGIN_ALLOW_THREADS
  try {
    work();
  } catch (const std::bad_alloc&) {
    had_memory = false;
  }
  Py_END_ALLOW_THREADS
  if (!had_memory) return PyErr_NoMemory();
  Py_RETURN_NONE;
}

PyObject* prelu_backward(PyObject*, PyObject* arguments) {
  const char* dtype;
  Address gradient, x, weight, out, grad_weight;
  Py_ssize_t outer, channels, inner;
  int is_output = 0;
  if (!PyArg_ParseTuple(arguments, "sKKKKKnnn|p", &dtype, &gradient, &x, &weight, &out,
                        &grad_weight, &outer, &channels, &inner, &is_output))
    return nullptr;
  const leakyrelu::Passes* const passes = passes_of(dtype);
  if (passes == nullptr) return nullptr;
  const Py_ssize_t n = std::min(outer, inner) < 0 ? -1 : outer * channels * inner;
  if (!can_be_at({weight, grad_weight}, channels) || !can_be_at({gradient, x, out}, n))
    return nullptr;
  return without_lock([&] {
    passes->prelu_backward(memory(gradient), memory(x), memory(weight), memory(out),
                           memory(grad_weight), outer, channels, inner, is_output);
  });
}

PyObject* rrelu(PyObject*, PyObject* arguments) {
  const char* dtype;
  Address factor, x, out;
  Py_ssize_t n;
  double lower, upper;
  const char* bytes;
  Py_ssize_t length;
  if (!PyArg_ParseTuple(arguments, "sKKKnddy#", &dtype, &factor, &x, &out, &n, &lower, &upper,
                        &bytes, &length))
    return nullptr;
  const leakyrelu::Passes* const passes = passes_of(dtype);
  if (passes == nullptr) return nullptr;
  std::vector<std::uint64_t> seeds(length / sizeof(std::uint64_t));
  if (seeds.empty() || n % seeds.size()) {
    PyErr_Format(PyExc_ValueError, "%zd elements are no %zu equal parts", n, seeds.size());
    return nullptr;
  }
  if (!can_be_at({factor, x, out}, n)) return nullptr;
  std::memcpy(seeds.data(), bytes, seeds.size() * sizeof(std::uint64_t));
  return without_lock([&] {
    passes->rrelu(memory(factor), memory(x), memory(out), n / seeds.size(), lower, upper,
                  seeds.data(), seeds.size());
  });
}

PyMethodDef methods[] = {
    {"prelu_backward", prelu_backward, METH_VARARGS,
     "dtype, addresses of gradient, x, weight, out, grad_weight; outer, channels, inner; "
     "whether x is the output"},
    {"rrelu", rrelu, METH_VARARGS,
     "dtype, addresses of factor, x, out; n, lower, upper, seeds as bytes, one for each of as many "
     "equal parts"},
    {nullptr, nullptr, 0, nullptr}};
int fill_module(PyObject* module) {
  return PyModule_AddStringConstant(module, "instruction_set", layers.instruction_set);
}
PyModuleDef_Slot slots[] = {
    {Py_mod_exec, reinterpret_cast<void*>(fill_module)},
#if defined(Py_GIL_DISABLED)
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},  // the passes keep no state
#endif
    {0, nullptr}};
PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                          "layers",
                          "Passes over the memory of tensors, for leakyrelu.nn.",
                          0,
                          methods,
                          slots,
                          nullptr,
                          nullptr,
                          nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_layers() { return PyModuleDef_Init(&definition); }
