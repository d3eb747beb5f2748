import polars as pl
import pytest

from penstock.testing.rowwise import assert_rowwise

FRAME = pl.DataFrame(
    {"x": [float(i) for i in range(20)], "name": [f"n{i % 3}" for i in range(20)], "maybe": [None, 1.5] * 10}
)


def test_functions_of_the_row_pass() -> None:
    assert_rowwise(lambda f: f.with_columns(y=pl.col("x") * 2, z=pl.col("maybe").is_null()), FRAME)
    assert_rowwise(lambda f: f.filter(pl.col("x") % 2 == 0), FRAME)
    assert_rowwise(lambda f: pl.concat([f, f]), FRAME)
    assert_rowwise(lambda f: f.select("maybe", nan=pl.lit(float("nan"))), FRAME)
    assert_rowwise(lambda f: f.select("x"), FRAME.clear())


def test_what_depends_on_the_batch_is_named() -> None:
    with pytest.raises(AssertionError, match=r"column 'y' of row \d+ is .* depends on the batch"):
        assert_rowwise(lambda f: f.with_columns(y=pl.col("x") - pl.col("x").mean()), FRAME)
    with pytest.raises(AssertionError, match="column 'y'"):
        assert_rowwise(lambda f: f.with_columns(y=pl.col("x").shift(1)), FRAME)
    with pytest.raises(AssertionError, match=r"row \d+ becomes"):
        assert_rowwise(lambda f: f.unique("name", keep="first", maintain_order=True), FRAME)


def test_a_result_that_is_sorted_without_its_rows_is_found() -> None:
    with pytest.raises(AssertionError, match="depends on the batch"):
        assert_rowwise(lambda f: f.sort("x", descending=True).drop("_row"), FRAME)


def test_another_row_count_without_parents_is_refused() -> None:
    with pytest.raises(AssertionError, match="carry the column '_row' on"):
        assert_rowwise(lambda f: f.filter(pl.col("x") > 3).drop("_row"), FRAME)


def test_a_null_is_not_a_nan_nor_a_number() -> None:
    def alone_null(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(v=pl.when(pl.len() == 1).then(None).otherwise(pl.lit(float("nan"))))

    with pytest.raises(AssertionError, match="column 'v'"):
        assert_rowwise(alone_null, FRAME)


def test_further_arguments_are_passed_on() -> None:
    assert_rowwise(lambda f, by, *, plus: f.select(y=pl.col("x") * by + plus), FRAME, 3.0, plus=1.0)
