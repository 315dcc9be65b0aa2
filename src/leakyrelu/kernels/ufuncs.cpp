// Registers the NumPy ufuncs, with the loops for the best instruction set of this processor.
#define PY_SSIZE_T_CLEAN
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#include <Python.h>

#include <numpy/arrayobject.h>
#include <numpy/ufuncobject.h>

#include "instruction_sets.hpp"
#include "loops.hpp"

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
    {"prelu", kernels.prelu, 2, "leaky_relu with a slope for each channel", by_channel},
    {"prelu_derivative", kernels.prelu_derivative, 2,
     "leaky_relu_derivative with a slope for each channel", by_channel},
};

// Of every operand of every loop, four operands a loop: a ufunc uses as many as it has.
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

// NumPy learns of bfloat16 from another package, ml_dtypes: only when one is at hand.
PyObject* add_bfloat16(PyObject* module, PyObject* dtype) {
  if (!PyArray_DescrCheck(dtype)) return PyErr_Format(PyExc_TypeError, "not a dtype: %R", dtype);
  const int number = reinterpret_cast<PyArray_Descr*>(dtype)->type_num;
  for (const UFunc& which : ufuncs) {
    PyObject* ufunc = PyObject_GetAttrString(module, which.name);
    if (ufunc == nullptr) return nullptr;
    const int status = PyUFunc_RegisterLoopForType(reinterpret_cast<PyUFuncObject*>(ufunc), number,
                                                   which.loops.bfloat16, nullptr, nullptr);
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
    {nullptr, nullptr, 0, nullptr}};
PyModuleDef_Slot slots[] = {
    {Py_mod_exec, reinterpret_cast<void*>(fill_module)},
#if defined(Py_GIL_DISABLED)
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},  // the loops keep no state
#endif
    {0, nullptr}};
PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                          "_kernels",
                          "NumPy ufuncs of the Leaky ReLU family.",
                          0,
                          methods,
                          slots,
                          nullptr,
                          nullptr,
                          nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__kernels() { return PyModuleDef_Init(&definition); }
