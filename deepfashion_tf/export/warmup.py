"""Requests that TensorFlow Serving answers for itself before it answers anybody."""

import tensorflow as tf

from deepfashion_tf.errors import InputError
from deepfashion_tf.files import whole_or_nothing
from deepfashion_tf.runs.run import Run

SIZES = (1, 8)  # images in a request
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"


def write_warmup(run: Run, name: str = "garments") -> None:
    """Adds warm-up requests to a run's export, so that the first answer is as fast as others.

    A server reads ``assets.extra/tf_serving_warmup_requests``, a TFRecord of PredictionLog, and
    answers each request once: TensorFlow traces, plans and allocates what it needs.

    Args:
        run: exported.
        name: of the model in the server.

    Raises:
        InputError: tensorflow-serving-api, which knows the records, is not installed.
    """
    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError as error:
        raise InputError(
            "--warmup needs tensorflow-serving-api: pip install 'deepfashion_tf[serving]'."
        ) from error
    size = run.config.image_size
    noise = tf.random.stateless_uniform([2 * size, size, 3], (0, 0), 0, 256, tf.int32)
    image = tf.io.encode_jpeg(tf.cast(noise, tf.uint8)).numpy()
    path = run.directory / "export" / WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    with whole_or_nothing(path) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
        for count in SIZES:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = "serving_default"
            inputs = {"image_bytes": [image] * count, "boxes": [[-1] * 4] * count}
            kinds = {"image_bytes": tf.string, "boxes": tf.int32}
            for key, values in inputs.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(values, kinds[key]))
            log = prediction_log_pb2.PredictLog(request=request)
            writer.write(prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString())
