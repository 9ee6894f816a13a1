"""Draws a wardrobe in a process of its own: ``python -m deepfashion_tf.data.wardrobe DIR 9 3 3 0``.

For callers whose main module may not be imported again, as drawing on all cores does:
a script without ``if __name__ == "__main__"``, such as one that calls ``tfds.load``.
"""

import sys

from deepfashion_tf.data.wardrobe.write import write_wardrobe

if __name__ == "__main__":
    directory, train, val, test, seed = sys.argv[1:]
    write_wardrobe(directory, train=int(train), val=int(val), test=int(test), seed=int(seed))
