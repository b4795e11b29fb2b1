"""What a run does to its model and its folder, against a plain loop written here."""

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from chiasm.training.freeze import groups
from chiasm.training.loop import DivergedError
from chiasm.training.optim import Schedule
from chiasm.training.run import Brought, Run, Step
from chiasm.training.train import train
from chiasm.weights.folder import last_finished, load_model, read_tensors
from chiasm.weights.state import state


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def plainly(run: Run) -> nn.Module:
    """The same training without any of the machinery."""
    torch.manual_seed(run.seed)
    model, data = run.model.build(), run.data()
    optimizer = torch.optim.AdamW(groups(model, run.stage, weight_decay=run.weight_decay), lr=0.0, foreach=False)
    schedule = Schedule(steps=run.steps, peak=run.lr, floor=run.min_lr, warmup=run.warmup)
    for step in range(run.steps):
        losses = model(next(data))
        sum(run.stage.losses[name] * losses[name] for name in losses).backward()
        nn.utils.clip_grad_norm_(model.parameters(), run.clip)
        for group in optimizer.param_groups:
            group["lr"] = group["scale"] * schedule.rate(step)
        optimizer.step()
        optimizer.zero_grad()
    return model


def test_the_loop_is_the_plain_loop(parts: ModuleType, tmp_path: Path) -> None:
    run = parts.run(model=parts.Net.Config(dropout=0.0))
    ours, plain = state(train([run], tmp_path)), state(plainly(run))
    for name, value in plain.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-6)


def test_layers_computed_twice_change_nothing_dropout_included(parts: ModuleType, tmp_path: Path) -> None:
    once, twice = (train([parts.run(recompute=lists)], tmp_path / str(len(lists))) for lists in ((), ("tower",)))
    assert all(torch.equal(value, state(once)[name]) for name, value in state(twice).items())
    train([parts.run()], tmp_path / "1")  # done, and not another run
    with pytest.raises(ValueError, match="run 'fit' recomputes 'towers', but its model has no such list of layers"):
        train([parts.run(recompute=("towers",))], tmp_path / "2")


def test_what_learns_moves_and_what_is_frozen_does_not(parts: ModuleType, tmp_path: Path) -> None:
    torch.manual_seed(0)
    before = state(parts.Net.Config().build())
    model = train([parts.run()], tmp_path)
    moved = {name for name, value in state(model).items() if not torch.equal(value, before[name])}
    assert moved == before.keys() - {"tower.0.weight", "tower.0.bias"}
    assert not model.training


def test_it_learns(parts: ModuleType, tmp_path: Path) -> None:
    train([parts.run(steps=120, lr=3e-2)], tmp_path)
    told = [line["losses"]["near"] for line in lines(tmp_path / "1-fit")]
    assert sum(told[-10:]) < 0.7 * sum(told[:10])


def test_metrics_and_callbacks(parts: ModuleType, tmp_path: Path) -> None:
    seen: list[Step] = []
    run = parts.run(validate=parts.nearness, validate_every=5)
    train([run], tmp_path, on_step=seen.append)
    found = lines(tmp_path / "1-fit")
    assert [line["step"] for line in found] == [step.step for step in seen] == list(range(1, 13))
    assert [line["pictures"] for line in found] == list(range(8, 97, 8))
    assert [line["step"] for line in found if line["validation"]] == [5, 10, 12]
    for line in found:
        assert line["total"] == pytest.approx(line["losses"]["near"] + 0.1 * line["losses"]["small"], rel=1e-5)
    assert found[0]["lr"] == pytest.approx(1e-2 / 3)
    assert (tmp_path / "1-fit" / "pace.jsonl").is_file()


def test_validation_leaves_no_trace(parts: ModuleType, tmp_path: Path) -> None:
    watched = train([parts.run(validate=parts.nearness, validate_every=1)], tmp_path / "a")
    alone = train([parts.run()], tmp_path / "b")
    ours, theirs = state(watched), state(alone)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours if name != "count")


def test_the_callers_random_state_is_kept(parts: ModuleType, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    train([parts.run()], tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_small_batches_add_up_to_a_big_one(parts: ModuleType, tmp_path: Path) -> None:
    def halves() -> Any:
        return Halves()

    class Halves(parts.Rows):
        """The batches of `Rows`, in two parts each."""

        def __next__(self) -> Any:
            place, odd = divmod(self.place, 2)
            whole = parts.Rows()
            whole.place = place
            batch = next(whole)
            self.place += 1
            rows = slice(4, None) if odd else slice(0, 4)
            return parts.Batch(batch.images[rows], batch.target[rows])

    calm = {"model": parts.Net.Config(dropout=0.0)}
    big = state(train([parts.run(**calm)], tmp_path / "a"))
    small = state(train([parts.run(**calm, data=halves, accumulate=2)], tmp_path / "b"))
    for name in big.keys() - {"count"}:
        torch.testing.assert_close(big[name], small[name], rtol=1e-4, atol=1e-6)
    assert small["count"] == 2 * big["count"]
    assert lines(tmp_path / "b" / "1-fit")[-1]["pictures"] == 96


def test_half_precision_is_near(parts: ModuleType, tmp_path: Path) -> None:
    calm = {"model": parts.Net.Config(dropout=0.0)}
    full = train([parts.run(**calm)], tmp_path / "a")
    half = train([parts.run(**calm, precision=torch.bfloat16)], tmp_path / "b")
    assert half.get_parameter("head.weight").dtype == torch.float32
    first, second = lines(tmp_path / "a" / "1-fit"), lines(tmp_path / "b" / "1-fit")
    assert first[0]["total"] != second[0]["total"]
    assert first[-1]["total"] == pytest.approx(second[-1]["total"], rel=0.05)
    torch.testing.assert_close(full.get_parameter("head.weight"), half.get_parameter("head.weight"), rtol=0, atol=0.02)


def test_the_best_weights_are_kept(parts: ModuleType, tmp_path: Path) -> None:
    def falling(model: nn.Module) -> dict[str, float]:
        return {"score": -abs(float(model.get_buffer("count")) - 6)}  # best after step 6

    train([parts.run(validate=falling, validate_every=3, best="score")], tmp_path)
    best = read_tensors(tmp_path / "1-fit" / "model" / "model.safetensors")
    assert best["count"] == 6
    short = train([parts.run(steps=12)], tmp_path / "other")
    assert not torch.equal(best["head.weight"], short.get_parameter("head.weight"))
    done = {"steps": 12, "pictures": 96, "best": 0.0, "skipped": 0, "reasons": ""}
    assert json.loads((tmp_path / "1-fit" / "done.json").read_text()) == done


def test_a_metric_that_validation_lacks(parts: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown validation metric 'nearnes'; did you mean 'nearness'\?"):
        train([parts.run(validate=parts.nearness, best="nearnes")], tmp_path)


def test_later_runs_begin_where_the_one_before_ended(parts: ModuleType, tmp_path: Path) -> None:
    still = replace(parts.AGAIN, train={"scale": 1.0})
    model = train([parts.run(), parts.run(name="again", stage=still, seed=5)], tmp_path)
    first, _ = load_model(tmp_path / "1-fit" / "model")
    assert torch.equal(model.get_parameter("tower.0.weight"), first.get_parameter("tower.0.weight"))
    assert not torch.equal(model.get_parameter("scale"), first.get_parameter("scale"))
    assert last_finished(tmp_path) == tmp_path / "2-again" / "model"


def test_a_run_may_start_from_a_given_model(parts: ModuleType, tmp_path: Path) -> None:
    start = parts.Net.Config().build()
    still = replace(parts.AGAIN, train={"scale": 1.0})
    model = train([parts.run(stage=still)], tmp_path / "a", start=start)
    assert torch.equal(model.get_parameter("norm.weight"), start.norm.weight)
    assert torch.equal(model.get_parameter("head.weight"), start.head.weight)
    runs = [parts.run(), parts.run(name="again", stage=still, start=start)]
    assert torch.equal(train(runs, tmp_path / "c").get_parameter("norm.weight"), start.norm.weight)
    with pytest.raises(ValueError, match=r"start was \w+ and is now \w+"):
        train([parts.run(stage=still)], tmp_path / "a", start=parts.Net.Config().build())
    with pytest.raises(ValueError, match="inherits from the stage before it, but there is no model to start from"):
        train([parts.run(stage=still)], tmp_path / "b")


def test_a_finished_run_returns_at_once(parts: ModuleType, tmp_path: Path) -> None:
    def no_data() -> Any:
        raise AssertionError("nothing should be read")

    done = state(train([parts.run()], tmp_path))
    again = state(train([parts.run(data=no_data)], tmp_path))
    assert all(torch.equal(done[name], again[name]) for name in done)


def test_other_options_on_an_old_folder(parts: ModuleType, tmp_path: Path) -> None:
    train([parts.run()], tmp_path)
    heavier = replace(parts.STAGE, losses={"near": 2.0, "small": 0.1})
    with pytest.raises(
        ValueError,
        match=r"1-fit was begun with other options: about\.data was None and is now 3, lr was 0\.01 and is now 0\.02, "
        r"model\.dropout was 0\.2 and is now 0\.1, stage\.losses\.near was 1\.0 and is now 2\.0; use another folder",
    ):
        train([parts.run(lr=0.02, model=parts.Net.Config(dropout=0.1), stage=heavier, about={"data": 3})], tmp_path)
    with pytest.raises(ValueError, match="holds run 1-fit, but run 1 is now 'other': use another folder"):
        train([parts.run(name="other")], tmp_path)
    train([parts.run(checkpoint_every=2)], tmp_path)
    with pytest.raises(ValueError, match="there are no runs to do in"):
        train([], tmp_path)


def test_losses_that_the_stage_does_not_weigh(parts: ModuleType, tmp_path: Path) -> None:
    stage = replace(parts.STAGE, losses={"near": 1.0, "far": 1.0})
    with pytest.raises(ValueError, match=r"weighs the losses far, near, but the model returns near, small"):
        train([parts.run(stage=stage)], tmp_path)


def test_a_loss_that_is_no_number_stops_the_run(parts: ModuleType, tmp_path: Path) -> None:
    class Poisoned(parts.Rows):
        def __next__(self) -> Any:
            batch = super().__next__()
            return parts.Batch(batch.images, batch.target * float("nan")) if self.place == 8 else batch

    with pytest.raises(DivergedError, match=r"near is nan at step 8 of run 'fit'"):
        train([parts.run(data=Poisoned)], tmp_path)
    model = state(train([parts.run()], tmp_path))  # the data was at fault: with better data it goes on
    whole = state(train([parts.run()], tmp_path / "whole"))
    assert all(torch.equal(model[name], whole[name]) for name in whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "has steps 0, but needs at least 1"),
        ({"accumulate": 0}, "has accumulate 0"),
        ({"best": "x"}, "keeps the best 'x', but has no validate"),
        ({"precision": torch.float16}, r"asks for torch\.float16"),
    ],
)
def test_runs_that_make_no_sense(parts: ModuleType, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parts.run(**changes)


def test_what_is_brought_comes_from_a_module_or_from_a_run_before(parts: ModuleType, tmp_path: Path) -> None:
    torch.manual_seed(7)
    given = parts.Net.Config().build()
    later = parts.run(
        name="later", stage=replace(parts.STAGE, name="later", train={"scale": 1.0}),
        brought={"tower": Brought(given, "tower"), "head": Brought("fit", "head")},
    )  # fmt: skip
    first = parts.run()
    after = state(train([first, later], tmp_path))
    learned = state(load_model(tmp_path / "1-fit" / "model")[0])
    assert torch.equal(after["head.weight"], learned["head.weight"])
    assert torch.equal(after["tower.0.weight"], given.tower[0].weight)
    assert not torch.equal(after["tower.2.weight"], learned["tower.2.weight"])
    assert torch.equal(state(train([first, later], tmp_path))["scale"], after["scale"])
    with torch.no_grad():
        given.tower[0].weight.add_(1.0)
    with pytest.raises(ValueError, match="begun with other options: brought"):
        train([first, later], tmp_path)


def test_a_run_that_nobody_did_brings_nothing(parts: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="by run 'nobody', but no run before it has that name"):
        train([parts.run(brought={"head": Brought("nobody")})], tmp_path)
