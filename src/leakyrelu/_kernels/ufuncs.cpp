// Registers the NumPy ufuncs, with the loops for the best instruction set of this processor.
#define PY_SSIZE_T_CLEAN
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#include <Python.h>

#include <numpy/arrayobject.h>
#include <numpy/ufuncobject.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "instruction_sets.hpp"
#include "loops.hpp"
#include "narrow.hpp"

namespace {

using leakyrelu::Kernels;
using leakyrelu::Loops;

const Kernels& kernels = leakyrelu::best_of<Kernels>({
    &leakyrelu::baseline,
#if defined(X86_INSTRUCTION_SETS)
    &leakyrelu::avx2,
    &leakyrelu::avx512,
#endif
});

constexpr const char* by_channel = "(c,n),(c,m)->(c,n)";

struct UFunc {
  const char* name;
  const Loops& loops;
  int inputs;
  const char* doc;
  const char* signature = nullptr;  // of the dimensions, if it is not elementwise
} const ufuncs[] = {
    {"leaky_relu", kernels.leaky_relu, 2, "x if x > 0 else negative_slope * x"},
    {"leaky_relu_derivative", kernels.leaky_relu_derivative, 2, "1 if x > 0 else negative_slope"},
    {"leaky_relu_backward", kernels.leaky_relu_backward, 3,
     "gradient times 1 if x > 0 else negative_slope"},
    {"relu", kernels.relu, 1, "0 if x <= 0 else x"},
    {"relu2", kernels.relu2, 1, "relu(x) squared"},
    {"leaky_relu2", kernels.leaky_relu2, 2, "leaky_relu(x, negative_slope) squared"},
    {"prelu", kernels.prelu, 2, "leaky_relu with a slope for each channel", by_channel},
    {"prelu_derivative", kernels.prelu_derivative, 2,
     "leaky_relu_derivative with a slope for each channel", by_channel},
};

// The dtypes of four operands per loop: a ufunc uses as many as it has.
const char types[5][leakyrelu::native_dtypes * 4] = {
    {},
    {},
    {NPY_HALF, NPY_HALF, NPY_FLOAT, NPY_FLOAT, NPY_DOUBLE, NPY_DOUBLE, NPY_LONGDOUBLE,
     NPY_LONGDOUBLE},
    {NPY_HALF, NPY_HALF, NPY_HALF, NPY_FLOAT, NPY_FLOAT, NPY_FLOAT, NPY_DOUBLE, NPY_DOUBLE,
     NPY_DOUBLE, NPY_LONGDOUBLE, NPY_LONGDOUBLE, NPY_LONGDOUBLE},
    {NPY_HALF, NPY_HALF, NPY_HALF, NPY_HALF, NPY_FLOAT, NPY_FLOAT, NPY_FLOAT, NPY_FLOAT,
     NPY_DOUBLE, NPY_DOUBLE, NPY_DOUBLE, NPY_DOUBLE, NPY_LONGDOUBLE, NPY_LONGDOUBLE,
     NPY_LONGDOUBLE, NPY_LONGDOUBLE},
};
void* const no_data[leakyrelu::native_dtypes] = {};

int add_ufunc(PyObject* module, const UFunc& which) {
  PyObject* ufunc = PyUFunc_FromFuncAndDataAndSignature(
      const_cast<leakyrelu::Loop*>(which.loops.native), no_data, types[which.inputs + 1],
      leakyrelu::native_dtypes, which.inputs, 1, PyUFunc_None, which.name, which.doc,
      0, which.signature);
  if (ufunc == nullptr) return -1;
  const int status = PyModule_AddObjectRef(module, which.name, ufunc);
  Py_DECREF(ufunc);
  return status;
}

// A ufunc of all inputs but the last, which is a fixed number: so the arrays alone decide the
// dtype, and containers of arrays handle the function like numpy.sin.
struct Bound {
  const UFunc& which;
  double negative_slope;
  leakyrelu::Loop loops[leakyrelu::native_dtypes];  // what NumPy keeps pointers to
  void* data[leakyrelu::native_dtypes];
};
constexpr const char* capsule_name = "leakyrelu.Bound";

// Like NumPy's conversion of a Python float; an overflow is reported as one of the loop.
void convert(double x, Half& out) { out.bits = npy_double_to_half(x); }
void convert(double x, BFloat16& out) { narrow(static_cast<float>(x), out); }
template <class T>
void convert(double x, T& out) {
  out = static_cast<T>(x);
}

template <class T>
void run_bound(leakyrelu::Loop loop, const Bound& bound, char** arguments,
               const npy_intp* dimensions, const npy_intp* steps) {
  T negative_slope;
  convert(bound.negative_slope, negative_slope);
  const int arrays = bound.which.inputs - 1;
  char* all[4];
  npy_intp all_steps[4];
  std::copy_n(arguments, arrays, all);
  std::copy_n(steps, arrays, all_steps);
  all[arrays] = reinterpret_cast<char*>(&negative_slope), all_steps[arrays] = 0;
  all[arrays + 1] = arguments[arrays], all_steps[arrays + 1] = steps[arrays];
  loop(all, dimensions, all_steps, nullptr);
}

template <class T, int dtype>
void bound_loop(char** arguments, const npy_intp* dimensions, const npy_intp* steps, void* data) {
  const Bound& bound = *static_cast<const Bound*>(data);
  run_bound<T>(bound.which.loops.native[dtype], bound, arguments, dimensions, steps);
}

void bound_bfloat16_loop(char** arguments, const npy_intp* dimensions, const npy_intp* steps,
                         void* data) {
  const Bound& bound = *static_cast<const Bound*>(data);
  run_bound<BFloat16>(bound.which.loops.bfloat16, bound, arguments, dimensions, steps);
}

void free_bound(PyObject* capsule) {
  delete static_cast<Bound*>(PyCapsule_GetPointer(capsule, capsule_name));
}

int bfloat16_number = NPY_NOTYPE;  // until add_bfloat16

PyObject* with_slope(PyObject*, PyObject* arguments) {
  const char* name;
  double negative_slope;
  if (!PyArg_ParseTuple(arguments, "sd", &name, &negative_slope)) return nullptr;
  const UFunc* const which = std::find_if(std::begin(ufuncs), std::end(ufuncs), [&](auto& ufunc) {
    return ufunc.inputs > 1 && !ufunc.signature && !std::strcmp(ufunc.name, name);
  });
  if (which == std::end(ufuncs))
    return PyErr_Format(PyExc_ValueError, "no elementwise ufunc %s with a slope", name);
  auto* const bound = new Bound{*which,
                                negative_slope,
                                {bound_loop<Half, 0>, bound_loop<float, 1>, bound_loop<double, 2>,
                                 bound_loop<npy_longdouble, 3>},
                                {}};
  std::fill(std::begin(bound->data), std::end(bound->data), bound);
  PyObject* const capsule = PyCapsule_New(bound, capsule_name, free_bound);
  if (capsule == nullptr) {
    delete bound;
    return nullptr;
  }
  const int inputs = which->inputs - 1;
  PyObject* const ufunc = PyUFunc_FromFuncAndData(bound->loops, bound->data, types[inputs + 1],
                                                  leakyrelu::native_dtypes, inputs, 1, PyUFunc_None,
                                                  which->name, which->doc, 0);
  if (ufunc == nullptr) {
    Py_DECREF(capsule);
    return nullptr;
  }
  reinterpret_cast<PyUFuncObject*>(ufunc)->obj = capsule;  // lives as long as the ufunc
  if (bfloat16_number != NPY_NOTYPE &&
      PyUFunc_RegisterLoopForType(reinterpret_cast<PyUFuncObject*>(ufunc), bfloat16_number,
                                  bound_bfloat16_loop, nullptr, bound) < 0) {
    Py_DECREF(ufunc);
    return nullptr;
  }
  return ufunc;
}

// Another package, ml_dtypes, adds bfloat16 to NumPy: the ufuncs learn it when it occurs.
PyObject* add_bfloat16(PyObject* module, PyObject* dtype) {
  if (!PyArray_DescrCheck(dtype)) return PyErr_Format(PyExc_TypeError, "not a dtype: %R", dtype);
  bfloat16_number = reinterpret_cast<PyArray_Descr*>(dtype)->type_num;
  for (const UFunc& which : ufuncs) {
    PyObject* ufunc = PyObject_GetAttrString(module, which.name);
    if (ufunc == nullptr) return nullptr;
    const int status = PyUFunc_RegisterLoopForType(reinterpret_cast<PyUFuncObject*>(ufunc),
                                                   bfloat16_number, which.loops.bfloat16, nullptr, nullptr);
    Py_DECREF(ufunc);
    if (status < 0) return nullptr;
  }
  Py_RETURN_NONE;
}

int fill_module(PyObject* module) {
  if (PyArray_ImportNumPyAPI() < 0 || PyUFunc_ImportUFuncAPI() < 0) return -1;
  for (const UFunc& which : ufuncs)
    if (add_ufunc(module, which) < 0) return -1;
  return PyModule_AddStringConstant(module, "instruction_set", kernels.instruction_set);
}

PyMethodDef methods[] = {
    {"add_bfloat16", add_bfloat16, METH_O, "Teach the ufuncs the dtype bfloat16 of ml_dtypes."},
    {"with_slope", with_slope, METH_VARARGS,
     "name, negative_slope: that ufunc with the slope filled in, of one input less"},
    {nullptr, nullptr, 0, nullptr}};
PyModuleDef_Slot slots[] = {
    {Py_mod_exec, reinterpret_cast<void*>(fill_module)},
#if defined(Py_GIL_DISABLED)
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},  // the loops keep no state
#endif
    {0, nullptr}};
PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                          "ufuncs",
                          "NumPy ufuncs of the Leaky ReLU family.",
                          0,
                          methods,
                          slots,
                          nullptr,
                          nullptr,
                          nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_ufuncs() { return PyModuleDef_Init(&definition); }
