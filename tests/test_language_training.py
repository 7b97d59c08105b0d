"""Fine-tuning: transformers' Trainer with the loss, the data, and the command, on tiny models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

import tiny_models  # noqa: E402
from benchmarks import language_step  # noqa: E402
from irl_lib import language  # noqa: E402
from irl_lib.language import data, fine_tuning  # noqa: E402
from irl_lib.language.__main__ import main  # noqa: E402
from irl_lib.language.trainer import IQTrainer  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
END = 256

# What older versions of transformers say of two checkpoints within a second.
pytestmark = pytest.mark.filterwarnings("ignore:mtime may not be reliable:UserWarning")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """In a folder of its own; what transformers does to torch's generator is undone."""
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        yield


def trainer(folder: Path, pairs: Any = tiny_models.PAIRS, **more: Any) -> IQTrainer:
    """For a single step, but for what is said else."""
    settings = {"max_steps": 1, "per_device_train_batch_size": 6, "logging_steps": 1} | more
    weight, discount = settings.pop("weight", 0.2), settings.pop("discount", 0.9)
    arguments = transformers.TrainingArguments(
        str(folder), report_to="none", save_strategy="no", use_cpu=True, disable_tqdm=True,
        optim="sgd", learning_rate=0.1, max_grad_norm=0.0, **settings,
    )  # fmt: skip
    read = [data.Pair(i, *pair) for i, pair in enumerate(pairs)]
    tokenizer = tiny_models.tokenizer()
    examples = data.encode(read, tokenizer, tiny_models.LONGEST, cut=False)
    return IQTrainer(
        tiny_models.model(),
        arguments,
        data.Padded(END),
        examples,
        processing_class=tokenizer,
        weight=weight,
        discount=discount,
    )


def weights(model: Any) -> torch.Tensor:
    return torch.cat([each.detach().flatten() for each in model.parameters()])


# --- the trainer ----------------------------------------------------------------------------------


def test_a_step_is_one_down_the_gradient_of_the_loss(tmp_path: Path) -> None:
    mine = trainer(tmp_path)
    mine.train()
    model = tiny_models.model()
    batch = data.Padded(END)(mine.train_dataset)
    logits = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    terms = language.iq_language_loss(logits, batch["labels"], weight=0.2, discount=0.9, end=END)
    terms.loss.backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert float((weights(mine.model) - weights(model)).abs().max()) < 1e-6
    row = mine.state.log_history[0]
    assert row["loss"] == pytest.approx(terms.loss.item(), rel=1e-5)
    assert row["likelihood"] == pytest.approx(terms.likelihood.item(), rel=1e-5)
    assert row["consistency"] == pytest.approx(terms.consistency.item(), rel=1e-5)


def test_without_a_price_it_is_the_library_s_own_training(tmp_path: Path) -> None:
    mine = trainer(tmp_path, weight=0.0, max_steps=4)
    mine.train()
    theirs = transformers.Trainer(
        tiny_models.model(), mine.args, data.Padded(END), mine.train_dataset
    )
    theirs.train()
    assert float((weights(mine.model) - weights(theirs.model)).abs().max()) < 1e-5
    priced = trainer(tmp_path, max_steps=4)
    priced.train()
    assert float((weights(priced.model) - weights(theirs.model)).abs().max()) > 1e-3


def test_parts_of_a_batch_are_one_large_batch(tmp_path: Path) -> None:
    """Though responses differ in length, so that means of means would not be the mean."""
    pairs = [("a", "b" * n) for n in (1, 9, 2, 30, 3, 4)]
    whole = trainer(tmp_path, pairs, max_steps=3)
    parts = trainer(
        tmp_path, pairs, max_steps=3, per_device_train_batch_size=2, gradient_accumulation_steps=3
    )
    for each in (whole, parts):
        each.train()
    assert float((weights(whole.model) - weights(parts.model)).abs().max()) < 1e-5
    for one, other in zip(whole.state.log_history[:3], parts.state.log_history[:3], strict=True):
        for name in ("loss", "likelihood", "consistency"):
            assert one[name] == pytest.approx(other[name], rel=1e-5)


def test_weights_that_are_not_finite_are_named_with_the_step(tmp_path: Path) -> None:
    mine = trainer(tmp_path, max_steps=5)

    class Spoil(transformers.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 2:
                with torch.no_grad():
                    mine.model.lm_head.weight[3, 2] = torch.nan

    mine.add_callback(Spoil())
    with pytest.raises(ValueError, match=r"step 3: .*the weights lm_head.weight are not finite"):
        mine.train()


def test_a_trainer_needs_an_end(tmp_path: Path) -> None:
    arguments = transformers.TrainingArguments(str(tmp_path), report_to="none", use_cpu=True)
    with pytest.raises(ValueError, match="end is None"):
        IQTrainer(tiny_models.model(), arguments, weight=0.1)
    for odd in ({"weight": -1.0}, {"weight": 0.1, "discount": 2.0}):
        with pytest.raises(ValueError, match=f"{list(odd)[-1]} is"):
            IQTrainer(tiny_models.model(), arguments, **odd)


# --- the data -------------------------------------------------------------------------------------


def test_the_loss_is_on_the_response_and_its_end() -> None:
    tokenizer = tiny_models.tokenizer()
    ((ids, labels),) = data.encode([data.Pair(1, "1+1=", "2")], tokenizer, 48, cut=False)
    assert tokenizer.decode(ids) == "1+1=2<end>"
    assert labels == [-100] * 4 + ids[4:]
    assert ids[-1] == END


def test_a_chat_template_is_used_where_there_is_one() -> None:
    tokenizer = tiny_models.tokenizer(template=tiny_models.TEMPLATE)
    ((ids, labels),) = data.encode([data.Pair(1, "1+1=", "2")], tokenizer, 48, cut=False)
    assert tokenizer.decode(ids) == "<user>1+1=<assistant>2<end>"
    assert labels[-2:] == ids[-2:]
    assert set(labels[:-2]) == {-100}


def test_what_is_cut_has_no_end() -> None:
    tokenizer = tiny_models.tokenizer()
    ((ids, _),) = data.encode([data.Pair(1, "abc", "de")], tokenizer, 6, cut=False)
    assert tokenizer.decode(ids) == "abcde<end>"  # which is just long enough
    ((ids, labels),) = data.encode([data.Pair(1, "abc", "defgh")], tokenizer, 5, cut=True)
    assert tokenizer.decode(ids) == "abcde"
    assert labels == [-100] * 3 + ids[3:]


def test_all_malformed_lines_are_named(tmp_path: Path) -> None:
    right = b'{"prompt": "a", "response": "b", "id": 7}'
    wrong = {
        b"{": "it is no JSON",
        b"[1]": "it is no object",
        b'{"prompt": "a"}': "its response is missing",
        b'{"prompt": 1, "response": "b"}': "its prompt is 1",
        b'{"prompt": "a", "response": " "}': "its response is empty",
        b'{"prompt": "\xff", "response": "b"}': "it is no text in UTF-8",
        b"[" * 100_000: "it is no JSON",
        b'{"prompt": "a", "response": "b", "prompt": 1}': "it is no JSON: several entries 'prompt'",
        b'{"prompt": "a", "response": "\\ud83d"}': "its response has half of a surrogate pair",
        b'{"prompt": [%s1], "response": "b"}'
        % (b"1, " * 9999): "its prompt is [1, 1, 1, 1, 1, 1, ",
    }
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(b"\n".join(line for each in wrong for line in (right, each)))
    with pytest.raises(ValueError, match="data has lines") as error:
        data.read_pairs(path)
    said = str(error.value).splitlines()[1:]
    assert len(said) == len(wrong)
    for i, (line, message) in enumerate(zip(said, wrong.values(), strict=True)):
        assert f"line {2 * i + 2}: {message}" in line
    path.write_bytes(b"\n".join([right, b"", right, *[b"no"] * 25]))
    with pytest.raises(ValueError, match=r"line 23: .*\n  and 5 more$"):
        data.read_pairs(path)
    path.write_bytes(b"\xef\xbb\xbf" + right + b"\r\n\n" + right)
    assert data.read_pairs(path) == [data.Pair(1, "a", "b"), data.Pair(3, "a", "b")]


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("a" * 30, "b" * 30), "line 7: it has 61 tokens; expected 48"),
        (("", "b"), "line 7: its prompt has no tokens"),
        (("a", "b<end>c"), "line 7: its response has the end token '<end>' in it"),
    ],
)
def test_lines_that_make_no_example_are_named(pair: tuple[str, str], message: str) -> None:
    lines = [data.Pair(6, "a", "b"), data.Pair(7, *pair)]
    with pytest.raises(ValueError, match=message):
        data.encode(lines, tiny_models.tokenizer(), 48, cut=False)
    strict = tiny_models.tokenizer(template="{{ raise_exception('a system prompt first') }}")
    with pytest.raises(ValueError, match="line 6: the tokenizer's chat template fails: a system"):
        data.encode(lines, strict, 48, cut=False)
    with pytest.raises(ValueError, match="line 1: it has 9 tokens in the prompt alone; expected 8"):
        data.encode([data.Pair(1, "a" * 9, "b")], tiny_models.tokenizer(), 9, cut=True)


# --- the command ----------------------------------------------------------------------------------


def command(folder: Path, output: str = "out", **more: Any) -> list[str]:
    """Arguments, with a model and data made where they are not there yet."""
    base = folder / "base"
    settings = {
        "model": base if base.exists() else tiny_models.stored(base),
        "data": tiny_models.written(folder / "pairs.jsonl"),
        "weight": 0.2,
        "output": folder / output,
        "epochs": 4,
        "batch": 2,
        "learning_rate": 1e-2,
        "checkpoint_every": 5,
    } | more
    return [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]


def load(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder)


def test_it_learns_the_answers(tmp_path: Path) -> None:
    options = command(tmp_path, epochs=60, batch=6, learning_rate=3e-2, weight=0.01)
    assert main(options) == 0
    model, tokenizer = load(tmp_path / "out"), tiny_models.tokenizer()
    for prompt, response in tiny_models.PAIRS:
        given = tokenizer(prompt, return_tensors="pt")["input_ids"]
        said = model.generate(given, max_new_tokens=4, do_sample=False, pad_token_id=END)[0]
        assert tokenizer.decode(said) == f"{prompt}{response}<end>"
    history = json.loads((tmp_path / "out" / "trainer_state.json").read_text())["log_history"]
    for row in history[:-1]:
        assert row["loss"] == pytest.approx(row["likelihood"] + row["consistency"], abs=1e-3)
    assert history[-2]["loss"] < 0.1 * history[0]["loss"]
    assert not (tmp_path / "out.part").exists()


def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(command(tmp_path)) == 0
    step, calls = IQTrainer.training_step, iter(range(99))

    def stopped(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == 7:
            raise KeyboardInterrupt
        return step(*args, **kwargs)

    monkeypatch.setattr(IQTrainer, "training_step", stopped)
    with pytest.raises(KeyboardInterrupt):
        main(command(tmp_path, "again"))
    assert not (tmp_path / "again").exists()
    half = tmp_path / "again.part" / "checkpoint-10"  # a later one, of which half is there
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    assert main(command(tmp_path, "again")) == 0
    assert next(calls) == 8 + 7  # five of the twelve steps were not taken anew
    one, other = (weights(load(tmp_path / name)) for name in ("out", "again"))
    assert torch.equal(one, other)
    assert not torch.equal(one, weights(load(tmp_path / "base")))


def test_another_run_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(IQTrainer, "training_step", stopped)
    with pytest.raises(KeyboardInterrupt):
        main(command(tmp_path))
    assert main(command(tmp_path, weight=0.3)) == 2
    assert "weight is 0.3, and 0.2 in the run that was begun" in capsys.readouterr().err
    changed = tiny_models.written(tmp_path / "other.jsonl", [("a", "b")])
    assert main(command(tmp_path, data=changed)) == 2
    assert "data is" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": -0.1}, "weight is -0.1"),
        ({"weight": "nan"}, "weight is nan"),
        ({"discount": 1.5}, "discount is 1.5"),
        ({"epochs": 0}, "epochs is 0"),
        ({"learning_rate": 0}, "learning_rate is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"max_length": 49}, "max_length is 49; expected 48"),
        ({"data": "nowhere.jsonl"}, "data 'nowhere.jsonl' does not exist"),
        ({"data": "."}, "data '.' is a folder"),
        ({"data": os.devnull}, "is a device"),
        ({"model": "nowhere"}, "model is 'nowhere'; expected a folder"),
        ({"model": "empty"}, "model is 'empty'; expected a folder"),
        ({"output": "empty"}, "exists; expected a folder that does not"),
        ({"output": "link"}, "exists; expected a folder that does not"),
        ({"output": "pairs.jsonl/out"}, "out.part': [Errno 20]"),
        ({"output": "begun"}, "begun.part': Expecting value"),
        ({"data": "a" * 5_000}, "can't be a file: [Errno 36]"),
    ],
)
def test_what_cannot_be_used_is_named(
    change: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "begun.part").mkdir()
    (tmp_path / "begun.part" / "settings.json").write_bytes(b"")  # half of a file
    assert main(command(tmp_path, **change)) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not (tmp_path / "out.part").exists()


def test_models_that_are_half_there_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    endless = tiny_models.stored(tmp_path / "endless", end=None)
    assert main(command(tmp_path, model=endless)) == 2
    assert "the tokenizer has no end token" in capsys.readouterr().err
    tiny_models.model(size=99).save_pretrained(tmp_path / "base")
    assert main(command(tmp_path)) == 2
    assert "the tokenizer has the token 256; the model has 99" in capsys.readouterr().err
    own = tiny_models.model()
    state = {name: each for name, each in own.state_dict().items() if "norm" not in name}
    own.save_pretrained(tmp_path / "base", state_dict=state)
    assert main(command(tmp_path)) == 2
    assert "which has no weights model.layers.0.input_layernorm" in capsys.readouterr().err


def test_a_padding_token_that_the_model_lacks_is_not_needed(tmp_path: Path) -> None:
    """As after tokenizer.add_special_tokens without model.resize_token_embeddings."""
    options = command(tmp_path, epochs=1)
    padded = tiny_models.tokenizer()
    padded.add_special_tokens({"pad_token": "<pad>"})
    padded.save_pretrained(tmp_path / "base")
    assert main(options) == 0


def test_a_model_whose_ends_share_their_weights_is_whole(tmp_path: Path) -> None:
    """What it predicts with are its embeddings, which are in the file once."""
    shape = {"vocab_size": 257, "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 9}
    config = transformers.GPT2Config(**shape, bos_token_id=None, eos_token_id=END)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt")
    tiny_models.tokenizer().save_pretrained(tmp_path / "gpt")
    assert main(command(tmp_path, model=tmp_path / "gpt", epochs=1)) == 0
    found = load(tmp_path / "out")
    assert found.lm_head.weight is found.transformer.wte.weight


def test_a_model_whose_weights_are_not_finite_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = command(tmp_path)
    own = tiny_models.model()
    with torch.no_grad():
        own.lm_head.weight[0, 0] = torch.inf
    own.save_pretrained(tmp_path / "base")
    assert main(options) == 2
    assert "step 1: " in (said := capsys.readouterr().err)
    assert "the weights lm_head.weight are not finite" in said
    assert not (tmp_path / "out").exists()


def test_what_is_asked_for_reaches_the_trainer_and_what_is_not_finite_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[IQTrainer] = []

    def spoiled(self: IQTrainer, **_: Any) -> None:
        seen.append(self)
        with torch.no_grad():
            self.model.lm_head.weight[0, 0] = torch.nan

    monkeypatch.setattr(IQTrainer, "train", spoiled)
    more = {"discount": 0.7, "seed": 5, "accumulation": 3, "max_length": 5}
    assert main(command(tmp_path, **more)) == 2
    assert "the weights lm_head.weight are not finite" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    (asked,) = seen
    assert (asked.weight, asked.discount, asked.end_tokens) == (0.2, 0.7, END)
    assert (asked.args.seed, asked.args.gradient_accumulation_steps) == (5, 3)
    assert (asked.args.num_train_epochs, asked.args.per_device_train_batch_size) == (4, 2)
    assert (asked.args.learning_rate, asked.args.save_steps) == (1e-2, 5)
    assert max(len(each.input_ids) for each in asked.train_dataset) == 5


def test_two_processes_are_one_with_batches_twice_as_large(tmp_path: Path) -> None:
    """The loss is divided by the tokens of both; their gradients are averaged by torch."""
    lengths = (1, 9, 2, 30, 3, 4, 20, 5)
    uneven = tiny_models.written(tmp_path / "uneven.jsonl", [("a", "b" * n) for n in lengths])
    one = command(tmp_path, data=uneven, batch=4, epochs=5, learning_rate=1e-3)
    two = command(tmp_path, "two", data=uneven, batch=2, epochs=5, learning_rate=1e-3)
    assert main(one) == 0
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    alone = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    run = subprocess.run(
        [*launch, "-m", "irl_lib.language", *two],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | alone,
    )
    assert run.returncode == 0, run.stderr[-3_000:]
    rows, ends = [], []
    for name in ("out", "two"):
        kept = json.loads((tmp_path / name / "trainer_state.json").read_text(encoding="utf-8"))
        rows.append(kept["log_history"][0])
        ends.append(weights(load(tmp_path / name)))
    for term in ("loss", "likelihood", "consistency"):
        assert rows[0][term] == pytest.approx(rows[1][term], rel=1e-4)
    assert float((ends[0] - ends[1]).abs().max()) < 1e-4
    assert float((ends[0] - weights(load(tmp_path / "base"))).abs().max()) > 1e-3


def test_the_last_checkpoint_is_the_one_of_most_steps(tmp_path: Path) -> None:
    for steps in (9, 10):
        (tmp_path / f"checkpoint-{steps}").mkdir()
        (tmp_path / f"checkpoint-{steps}" / "trainer_state.json").write_bytes(b"{}")
    for odd in ("checkpoint-11", "checkpoint-old"):  # not whole; no one's
        (tmp_path / odd).mkdir()
    (tmp_path / "checkpoint-old" / "trainer_state.json").write_bytes(b"{}")
    assert fine_tuning._begin(tmp_path, {}) == str(tmp_path / "checkpoint-10")


# --- what a step costs ----------------------------------------------------------------------------


def test_the_benchmark_of_a_step_compares_the_same_step() -> None:
    (row,) = language_step.run(sizes=((9, 8, 1, 2, 8),), pairs=4)
    assert row["weights"] == 2 * 9 * 8 + 4 * 8 * 8 + 3 * 8 * 32 + 3 * 8
    assert row["tokens"] == 16
    assert 0.0 < row["quarter"] <= row["ratio"] <= row["three_quarters"]
    taken: list[int] = []
    times = language_step.in_turns(lambda: taken.append(0), lambda: taken.append(1), 3)
    assert taken[6:] == [0, 1, 1, 0, 0, 1]
    assert times.shape == (3, 2)
