"""Reads fashion attributes off photographs. Importing it loads no TensorFlow."""

from deepfashion_tf.registration import register

register()
del register
