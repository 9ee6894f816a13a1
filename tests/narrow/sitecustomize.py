"""Python runs this first where PYTHONPATH has its folder: the networks it builds are narrow.

For commands that tests start in processes of their own, by the fixture `narrow_processes`.
"""

import dataclasses

from deepfashion_tf.models.variants import VARIANTS

for _name, _variant in VARIANTS.items():
    VARIANTS[_name] = dataclasses.replace(_variant, blocks=(1, 1, 1, 1), base_width=8)
