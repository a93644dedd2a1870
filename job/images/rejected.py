"""What is said of an image that cannot be predicted."""


class RejectedError(Exception):
    """An image without a prediction.

    Attributes:
        reason: A code of `job/prediction/image_reader.py`, as `damaged`.
        detail: What exactly, in words.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
