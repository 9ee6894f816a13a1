"""What the HTTP API takes and answers, as OpenAPI describes it."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

_Pixel = Annotated[int, Field(ge=-(10**9), le=10**9)]
_Box = tuple[_Pixel, _Pixel, _Pixel, _Pixel]


class Parameters(BaseModel):
    """The query of a request."""

    model_config = ConfigDict(extra="forbid")

    box: str | None = Field(
        None,
        description="x1,y1,x2,y2 of the garment in every image without a box of its own, in "
        "half-open pixels of the upright image.",
        examples=["10,20,300,400"],
    )
    top: int = Field(1, ge=1, le=1000, description="Attributes per category, the likeliest first.")
    name: str | None = Field(
        None, max_length=1000, description="Name of an image that is the body itself."
    )


class Image(BaseModel):
    """An image of a JSON request."""

    model_config = ConfigDict(extra="forbid", strict=True)

    data: str = Field(description="The file in base64, or as a data: address.")
    box: _Box | None = Field(
        None, description="x1, y1, x2, y2 in half-open pixels; null: the whole image."
    )
    name: str | None = Field(None, max_length=1000)


class Question(BaseModel):
    """A JSON request."""

    model_config = ConfigDict(extra="forbid", strict=True)

    images: list[Image] = Field(min_length=1)
    top: int | None = Field(None, ge=1, le=1000, description="As in the query.")


class Fault(BaseModel):
    """Why an image is not answered."""

    index: int = Field(description="Its place in the request, from 0.")
    image: str = Field(description="Its name.")
    error: str


class Answer(BaseModel):
    """The answer to a request of which some image can be read."""

    model: str = Field(description="Name of the run or export.")
    predictions: list[dict[str, Any] | None] = Field(
        description="One for each image, in order, as `deepfashion predict --output answers.json` "
        "writes it: image, box, and for each category the attribute (of kind multi: attributes), "
        "its probability, its status, and `others` if top is above 1. null: see errors.",
        examples=[
            [
                {
                    "image": "photo.jpg",
                    "box": None,
                    "sleeve": {
                        "attribute": "sleeveless",
                        "probability": 0.97,
                        "status": "accepted",
                    },
                }
            ]
        ],
    )
    errors: list[Fault]


class Refused(BaseModel):
    """The answer to a request that is refused."""

    error: str
    errors: list[Fault] = Field(description="The images at fault; empty if it is none of them.")


class Model(BaseModel):
    """What answers."""

    run: str
    engine: str
    engine_version: str
    precision: str
    version: str = Field(description="Of deepfashion_tf.")
    image_size: int
    schema_: dict[str, list[str]] = Field(alias="schema", description="Category: its attributes.")
    untrained: list[str] = Field(description="Categories that no training image was labelled in.")
    thresholds: dict[str, float] | None = Field(
        description="Probability from which on an answer is sure; above 1: never. null: always."
    )


class Health(BaseModel):
    status: str
    version: str
