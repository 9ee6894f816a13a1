"""The options of `deepfashion serve`. No TensorFlow."""

from dataclasses import dataclass

from deepfashion_tf.serving.web.options import WebOptions


@dataclass(frozen=True)
class Options(WebOptions):
    """How requests are answered."""

    port: int = 8000
    """Port to listen on. 0: any free port."""
    batch_size: int = 16
    """Images that the engine computes at once, of all requests together."""
    batch_delay: float = 5.0
    """Milliseconds that a batch waits for more images, if the batch before had more."""
    queue: int = 256
    """Images that wait or are computed. Requests beyond get status 429."""
    max_images: int = 32
    """Most images of a request."""
    threshold: float | None = None
    """Probability from which on an answer is sure, as in predict. None: all are."""
    accept_accuracy: float | None = None
    """Required accuracy of sure answers, as in predict."""
    accept_damaged: bool = False
    """Predict truncated JPEG files, too."""
    exact: bool = False
    """Compute in float32, as in predict."""
