"""Answers as a table of pandas."""

from collections.abc import Sequence
from typing import ClassVar

import pandas as pd

from supervision.answer.answer import Answer
from supervision.answer.text import answers_text


class PredictionTable(pd.DataFrame):
    """A DataFrame of answers, one row each, that prints what a reader needs of them.

    Attributes:
        answers: the answers in their order.
    """

    _metadata: ClassVar = ["answers"]
    answers: list[Answer]

    @classmethod
    def of(cls, answers: Sequence[Answer]) -> "PredictionTable":
        """The table with the fields of the answers as columns."""
        columns = (answers[0] if answers else Answer("")).fields()
        table = cls([answer.fields() for answer in answers], columns=list(columns))
        table.answers = list(answers)
        return table

    def __repr__(self) -> str:
        return answers_text(self.answers)
