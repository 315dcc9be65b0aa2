"""What `leakyrelu.health.watch` finds, shown where a training is followed.

`tensorboard` for loops of your own, `lightning` and `huggingface` for those of the trainers.
Each needs the library it is named after, so none is imported here.
"""
