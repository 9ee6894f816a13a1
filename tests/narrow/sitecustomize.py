"""Python runs this first where PYTHONPATH has its folder: the networks it builds are narrow.

For commands that tests start in processes of their own, by the fixture `narrow_processes`.
"""

import dataclasses

from deepfashion_tf.models.variants import VARIANTS, Variant

for _name, _variant in VARIANTS.items():
    is_resnet = isinstance(_variant, Variant)
    _narrow = {"blocks": (1, 1, 1, 1), "base_width": 8} if is_resnet else {"depth": 0.3}
    VARIANTS[_name] = dataclasses.replace(_variant, **_narrow)
