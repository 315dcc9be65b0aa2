// Registers the NumPy ufuncs: one loop a dtype, all from the formulas of leaky_relu.hpp.
#define PY_SSIZE_T_CLEAN
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#include <Python.h>

#include <numpy/arrayobject.h>
#include <numpy/halffloat.h>
#include <numpy/ufuncobject.h>

#include "leaky_relu.hpp"

namespace {

template <class T>
using Formula = T (*)(T x, T negative_slope);
template <class T>
using Row = void (*)(const T* x, T negative_slope, T* out, std::ptrdiff_t n);

template <class T>
T& at(char* start, npy_intp step, npy_intp i) {
  return *reinterpret_cast<T*>(start + i * step);
}

// The inner loop that NumPy calls. One slope for contiguous x and out is the usual case
// and has a vectorised row; every other layout goes element by element.
template <class T, Formula<T> formula, Row<T> row>
void loop(char** args, const npy_intp* length, const npy_intp* steps, void*) {
  const npy_intp n = length[0];
  const npy_intp size = sizeof(T);
  if (steps[0] == size && steps[1] == 0 && steps[2] == size) {
    row(reinterpret_cast<const T*>(args[0]), *reinterpret_cast<const T*>(args[1]),
        reinterpret_cast<T*>(args[2]), n);
    return;
  }
  for (npy_intp i = 0; i < n; ++i)
    at<T>(args[2], steps[2], i) =
        formula(at<const T>(args[0], steps[0], i), at<const T>(args[1], steps[1], i));
}

// float16 is computed in float32: the product of two float16 is exact there, so it is
// rounded once, as IEEE asks.
template <Formula<float> formula>
void half_loop(char** args, const npy_intp* length, const npy_intp* steps, void*) {
  for (npy_intp i = 0; i < length[0]; ++i)
    at<npy_half>(args[2], steps[2], i) =
        npy_float_to_half(formula(npy_half_to_float(at<npy_half>(args[0], steps[0], i)),
                                  npy_half_to_float(at<npy_half>(args[1], steps[1], i))));
}

// A template can have no clones, so each row is named for its dtype.
#define ROWS(T)                                                                         \
  LEAKYRELU_CLONES void value_row_of(const T* x, T a, T* out, std::ptrdiff_t n) {       \
    leakyrelu::value_row(x, a, out, n);                                                 \
  }                                                                                     \
  LEAKYRELU_CLONES void derivative_row_of(const T* x, T a, T* out, std::ptrdiff_t n) {  \
    leakyrelu::derivative_row(x, a, out, n);                                            \
  }
ROWS(float)
ROWS(double)
ROWS(npy_longdouble)

template <class T>
constexpr PyUFuncGenericFunction value_loop = loop<T, leakyrelu::value<T>, value_row_of>;
template <class T>
constexpr PyUFuncGenericFunction derivative_loop =
    loop<T, leakyrelu::derivative<T>, derivative_row_of>;

PyUFuncGenericFunction value_loops[] = {half_loop<leakyrelu::value<float>>, value_loop<float>,
                                        value_loop<double>, value_loop<npy_longdouble>};
PyUFuncGenericFunction derivative_loops[] = {half_loop<leakyrelu::derivative<float>>,
                                             derivative_loop<float>, derivative_loop<double>,
                                             derivative_loop<npy_longdouble>};
// x, negative_slope, out of each loop above.
const char types[] = {NPY_HALF,   NPY_HALF,   NPY_HALF,   NPY_FLOAT,      NPY_FLOAT,      NPY_FLOAT,
                      NPY_DOUBLE, NPY_DOUBLE, NPY_DOUBLE, NPY_LONGDOUBLE, NPY_LONGDOUBLE, NPY_LONGDOUBLE};
void* const no_data[] = {nullptr, nullptr, nullptr, nullptr};

int add_ufunc(PyObject* module, const char* name, PyUFuncGenericFunction* loops, const char* doc) {
  PyObject* ufunc =
      PyUFunc_FromFuncAndData(loops, no_data, types, 4, 2, 1, PyUFunc_None, name, doc, 0);
  if (ufunc == nullptr) return -1;
  const int status = PyModule_AddObjectRef(module, name, ufunc);
  Py_DECREF(ufunc);
  return status;
}

int fill_module(PyObject* module) {
  if (PyArray_ImportNumPyAPI() < 0 || PyUFunc_ImportUFuncAPI() < 0) return -1;
  if (add_ufunc(module, "leaky_relu", value_loops, "x if x > 0 else negative_slope * x") < 0)
    return -1;
  return add_ufunc(module, "leaky_relu_derivative", derivative_loops, "1 if x > 0 else negative_slope");
}

PyModuleDef_Slot slots[] = {{Py_mod_exec, reinterpret_cast<void*>(fill_module)}, {0, nullptr}};
PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_kernels", "NumPy ufuncs of the Leaky ReLU family.", 0, nullptr, slots,
    nullptr,               nullptr,    nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__kernels() { return PyModuleDef_Init(&definition); }
