"""The result of `leakyrelu.watch`, in your training dashboard.

`scalars` are its numbers. `tensorboard` is for your own training loops, `lightning` and
`huggingface` for those of the trainers; each needs the library it is named after, so none is
imported here.
"""

from leakyrelu.integrations._scalars import scalars

__all__ = ["scalars"]
